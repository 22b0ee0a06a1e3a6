"""Log lines: in one form, and without what somebody wants to see drawn unless the operator asks for it."""

from __future__ import annotations

import logging
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.log import LineFormatter

words = st.text(st.characters(categories=["L", "N"]), min_size=4, max_size=12).map(lambda word: f"q{word}")
prompts = st.lists(words, min_size=1, max_size=12).map(" ".join)


def line(prompt: str, quoted: str, *, show_prompts: bool) -> str:
    """The line about a job that failed with an error that quotes something."""
    try:
        raise ValueError(f"the model refuses {quoted!r} and ends")
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x",
            logging.ERROR,
            __file__,
            1,
            "A job failed.",
            (),
            sys.exc_info(),
            extra={"job_id": "j", "prompt": prompt},
        )
    return LineFormatter(show_prompts=show_prompts).format(record)


@given(prompts, st.data())
def test_no_word_of_a_prompt_is_shown_even_where_an_error_quotes_some(prompt: str, data: st.DataObject) -> None:
    quoted = " ".join(data.draw(st.lists(st.sampled_from(prompt.split()))))
    shouted = prompt.upper() if prompt.isascii() else prompt
    text = line(prompt, data.draw(st.sampled_from([prompt, shouted, quoted])), show_prompts=False)
    found = {word.casefold() for word in re.findall(r"\w+", text)}
    assert found.isdisjoint(word.casefold() for word in prompt.split())
    assert "ValueError: the model refuses" in text
    assert 'job_id="j"' in text


def test_prompts_are_shown_where_the_operator_wants_so() -> None:
    text = line("a red house", "a red house", show_prompts=True)
    assert 'prompt="a red house"' in text
    assert "the model refuses 'a red house'" in text


@pytest.mark.parametrize("prompt", ["", " ", "a", "in", ".*", "\\", "[", "夜の街"])
def test_any_prompt_can_be_taken_out(prompt: str) -> None:
    text = line(prompt, "a red house in 夜の街", show_prompts=False)
    assert "ValueError: the model refuses" in text
    assert prompt != "夜の街" or prompt not in text
