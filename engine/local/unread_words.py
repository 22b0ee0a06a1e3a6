"""Which words of a prompt a pipeline does not read, since its text encoders take only so many tokens.

Counted on the prompt alone: where a pipeline puts words of its own around it, it reads that much less.
"""

from __future__ import annotations

import inspect
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Final

_TOKENIZERS: Final = {
    "tokenizer": "text_encoder",
    "tokenizer_2": "text_encoder_2",
    "tokenizer_3": "text_encoder_3",
    "tokenizer_4": "text_encoder_4",
}
#: The beginning of a word that is read only in part. Chinese, Japanese and Korean have no blanks between words.
_TORN_WORD: Final = re.compile(r"[^\s\u2e80-\U0001ffff]+$")
#: Of so many characters a sentence shows the beginning.
_SHOWN: Final = 200


def warning(pipeline: Any, name: str, text: str | None, max_sequence_length: int) -> str | None:
    """A sentence with the words of `text`, the field `name`, that are not read; None where all are."""
    readers = list(_readers(pipeline, max_sequence_length)) if text else []
    if not text or not readers:
        return None
    end, limit = max((_read_until(tokenizer, text, limit), limit) for tokenizer, limit in readers)
    rest = text[end:].strip()
    if not rest:
        return None
    shown = rest if len(rest) <= _SHOWN else f"{rest[: _SHOWN - 3]}..."
    return f"The model reads {limit} tokens of the {name}; it does not read the words at its end: {shown}"


def _readers(pipeline: Any, max_sequence_length: int) -> Iterator[tuple[Any, int]]:
    """The tokenizers whose tokens are encoded, and how many of them."""
    takes_length = "max_sequence_length" in inspect.signature(pipeline.__call__).parameters
    for name, encoder in _TOKENIZERS.items():
        tokenizer = getattr(pipeline, name, None)
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # a processor has it inside
        if tokenizer is None or getattr(pipeline, encoder, None) is None:
            continue
        # CLIP has a fixed number of positions; diffusers passes the length that was asked for to all others.
        is_fixed = "CLIP" in type(tokenizer).__name__ or not takes_length
        yield tokenizer, tokenizer.model_max_length if is_fixed else max_sequence_length


def _read_until(tokenizer: Any, text: str, limit: int) -> int:
    """How many characters of a text are within the first `limit` tokens, in whole words."""

    def tokens(length: int) -> int:
        return len(tokenizer(text[:length], truncation=False, verbose=False)["input_ids"])

    if tokens(len(text)) <= limit:
        return len(text)
    end = bisect_right(range(len(text)), limit, key=tokens) - 1
    torn = _TORN_WORD.search(text, 0, max(end, 0)) if not text[end : end + 1].isspace() else None
    return torn.start() if torn else max(end, 0)
