"""How text is compared in a search: without regard to case, width of letters, or kind of white space."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: Part the fields of a searchable text. They cannot occur in a folded text, which has only plain spaces.
_FIELD: Final = "\n"
_EXACT: Final = "\t"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: The shortest word that the trigram index knows.
TRIGRAM: Final = 3


def fold(text: str) -> str:
    """The form in which texts are compared: one string for all ways to write the same letters."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = unicodedata.normalize("NFKC", plain).encode("utf-8", "replace").decode("utf-8")
    return " ".join(_CONTROL.sub(" ", plain).split())


def searchable(prompt: str, model: str) -> str:
    """What a search looks in, for one image: the prompt, the model's name, and that name exactly as it is."""
    return f"{fold(prompt)}{_FIELD}{fold(model)}{exactly(model)}"


def exactly(model: str) -> str:
    """A text that occurs in the searchable texts of this model's images and of no others."""
    return f"{_EXACT}{model}{_EXACT}"


def words(search: str) -> list[str]:
    """The words of a search, folded, each once, longest first."""
    return sorted(set(fold(search).split()), key=lambda word: (-len(word), word))


def phrase(text: str) -> str:
    """`text` as a string of the full-text query language: nothing in it is an operator."""
    return '"' + text.replace('"', '""') + '"'
