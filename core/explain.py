"""What is wrong with a document, in a sentence: the field, its value and what would be right.

msgspec finds the fault and names its place. The sentence is made from the declared types, so that it says the same
of a request, a dropped file and the model catalog.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import inspect as types

from core.strict_json import shorten, shown

#: Key of `Meta(extra=...)`: what a value may be, in words, where its type says too little (a pattern).
EXPECTED: Final = "expected"
#: So many unknown names are listed beside a missing one.
_MOST_UNKNOWN: Final = 5
_PATH: Final = re.compile(r" - at `\$\.?(?P<path>[^`\[]*)")


@dataclass(frozen=True)
class Fault:
    """Where a fault is (`settings.width`; empty for the document itself) and the sentence about it."""

    path: str
    sentence: str


def explain(
    error: msgspec.ValidationError,
    document: Any,
    kind: type,
    *,
    name: str,
    at: str = "",
    narrower: Mapping[str, str] | None = None,
) -> Fault:
    """What `msgspec.convert(document, kind)` refused with `error`.

    `name` is what the document is called (`a job`), `at` is its place in a larger one (`models.demo`). `narrower` says
    what would be right for some paths where less is allowed than by their type.
    """
    match = _PATH.search(str(error))
    inner = match["path"] if match else ""
    place = _Place(document, types.type_info(kind), at, name)
    for part in filter(None, inner.split(".")):
        if missing := place.missing():
            return place.without(missing)
        place = place.below(part)
    if missing := place.missing():
        return place.without(missing)
    if unknown := place.unknown():
        return place.with_unknown(unknown[0])
    expected = (narrower or {}).get(place.path) or in_words(place.kind)
    return Fault(place.path, f"{place.path or place.name} is {shown(place.value)}; it must be {expected}.")


@dataclass(frozen=True)
class _Place:
    """A value in a document, and the type that it should have."""

    value: Any
    kind: types.Type
    path: str
    name: str

    def below(self, part: str) -> _Place:
        kind = next((field.type for field in self._fields() if field.encode_name == part), types.AnyType())
        value = self.value.get(part) if isinstance(self.value, dict) else None
        return _Place(value, kind, self._join(part), self.name)

    def missing(self) -> list[str]:
        if not isinstance(self.value, dict):
            return []
        return [field.encode_name for field in self._fields() if field.required and field.encode_name not in self.value]

    def unknown(self) -> list[str]:
        known = {field.encode_name for field in self._fields()}
        return [key for key in self.value if key not in known] if known and isinstance(self.value, dict) else []

    def without(self, missing: list[str]) -> Fault:
        # A missing field is most likely one whose name was mistyped.
        unknown = [shorten(name) for name in self.unknown()[:_MOST_UNKNOWN]]
        hint = f" Not known here: {', '.join(unknown)}." if unknown else ""
        names = ", ".join(self._join(name) for name in missing)
        return Fault(self._join(missing[0]), f"Missing required fields: {names}.{hint}")

    def with_unknown(self, unknown: str) -> Fault:
        known = [field.encode_name for field in self._fields()]
        near = difflib.get_close_matches(unknown, known, 1)
        meant = f" ({near[0]}, perhaps)" if near else ""
        path = self._join(shorten(unknown))
        return Fault(
            path, f"{path} is not a known field{meant}; {self.path or self.name} may have: {', '.join(known)}."
        )

    def _fields(self) -> tuple[types.Field, ...]:
        plain = _plain(self.kind)
        return plain.fields if isinstance(plain, types.StructType) else ()

    def _join(self, part: str) -> str:
        return f"{self.path}.{part}" if self.path else part


def in_words(kind: types.Type) -> str:
    """What a value of this type is, in words."""
    if isinstance(kind, types.Metadata) and EXPECTED in (kind.extra or {}):
        return str((kind.extra or {})[EXPECTED])
    if isinstance(kind, types.UnionType):
        return in_words(_sendable(kind))
    return _plain_in_words(_plain(kind))


def _plain_in_words(kind: types.Type) -> str:
    match kind:
        case types.IntType():
            return f"an integer{_bounds(kind)}"
        case types.FloatType():
            return f"a number{_bounds(kind)}"
        case types.StrType():
            return "a text that is not empty" if kind.min_length else "a text"
        case types.BoolType():
            return "true or false"
        case types.LiteralType():
            return f"one of {', '.join(str(value) for value in kind.values)}"
        case _:
            return "an object"


def _bounds(kind: types.IntType | types.FloatType) -> str:
    """` from 1 to 8`, ` of at least 8`, ` above 0 and at most 1`."""
    if kind.ge is not None and kind.le is not None:
        return f" from {_number(kind.ge)} to {_number(kind.le)}"
    least = f" of at least {_number(kind.ge)}" if kind.ge is not None else ""
    least = f" above {_number(kind.gt)}" if kind.gt is not None else least
    most = f" at most {_number(kind.le)}" if kind.le is not None else ""
    most = f" below {_number(kind.lt)}" if kind.lt is not None else most
    return least + (" and" if least and most else "") + most


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _plain(kind: types.Type) -> types.Type:
    """A type without what is only said about it, and without null."""
    if isinstance(kind, types.Metadata):
        return _plain(kind.type)
    return _plain(_sendable(kind)) if isinstance(kind, types.UnionType) else kind


def _sendable(kind: types.UnionType) -> types.Type:
    """The part of a union that somebody would send."""
    return next(option for option in kind.types if not isinstance(_plain(option), types.NoneType))
