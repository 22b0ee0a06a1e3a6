"""The words of a prompt that a pipeline does not read are told, whatever its tokenizers are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.local.unread_words import warning
from tests.tiny_models import letter_tokenizers

CLIP, T5 = letter_tokenizers()  # a token is a letter; CLIP adds two of its own, reads 77 and no blanks


@dataclass
class OneClip:
    """As Stable Diffusion."""

    tokenizer: Any = CLIP
    text_encoder: Any = "an encoder"

    def __call__(self, prompt: str) -> None: ...


@dataclass
class ClipAndT5(OneClip):
    """As FLUX and SD 3.5."""

    tokenizer_2: Any = T5
    text_encoder_2: Any = "another"

    def __call__(self, prompt: str, max_sequence_length: int = 512) -> None: ...


@pytest.mark.parametrize(
    ("pipeline", "length", "text", "limit", "unread"),
    [
        (OneClip(), 512, "a" * 75, 77, None),
        (OneClip(), 512, "a" * 70 + " castle on a hill", 77, "castle on a hill"),
        (OneClip(), 512, "a" * 69 + " castle hill", 77, "hill"),
        (OneClip(), 512, "a" * 75 + " b", 77, "b"),
        (ClipAndT5(), 100, "a" * 90, 100, None),
        (ClipAndT5(), 100, "a" * 90 + " castle on a hill", 100, "a hill"),
        (ClipAndT5(), 16, "a" * 40 + " castle", 16, None),  # CLIP reads it
        (ClipAndT5(text_encoder_2=None), 100, "a" * 70 + " castle on a hill", 77, "castle on a hill"),
        (ClipAndT5(tokenizer=None), 64, "the end " * 9, 64, "the end"),
    ],
)
def test_the_words_that_no_encoder_reads_are_named(
    pipeline: Any, length: int, text: str, limit: int, unread: str | None
) -> None:
    said = warning(pipeline, "prompt", text, length)
    expected = f"The model reads {limit} tokens of the prompt; it does not read the words at its end: {unread}"
    assert said == (None if unread is None else expected)


def test_a_long_end_is_shortened() -> None:
    said = warning(OneClip(), "prompt", "a " * 400, 512)
    assert said is not None
    assert said.endswith("a a...")
    assert len(said) < 300


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_any_text_can_be_counted(text: str) -> None:
    said = warning(ClipAndT5(), "prompt", text, 20)
    fits = any(len(one(text)["input_ids"]) <= limit for one, limit in ((CLIP, 77), (T5, 20)))
    assert (said is None) or not fits
