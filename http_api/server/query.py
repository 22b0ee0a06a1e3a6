"""Query parameters: known names only, each at most once, and each as its field of a struct says.

A struct declares them, with their limits, descriptions and defaults. Integers are written in plain digits, booleans
as true or false, texts are trimmed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated, Any, Final, Generic, TypeVar

from msgspec import Meta, Struct, inspect

from core.errors import InvalidRequest

_DIGITS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
#: The largest integer that is read.
LARGEST: Final = 999_999_999
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}
#: What pages add to an address so that no cache answers; on reading it means nothing.
_CACHE_BUSTERS: Final = frozenset({"_", "t", "retry", "v"})
_CAP: Final = "cap"

#: A text; blank is the same as absent.
Text = Annotated[str, Meta(max_length=1000)]

Query = TypeVar("Query", bound=Struct)
_Reader = Callable[[str, str], Any]


class NoParameters(Struct, frozen=True):
    """For operations without query parameters."""


def capped(minimum: int, maximum: int, about: str) -> Meta:
    """For an integer from `minimum` on; one that is larger than `maximum` is taken for it."""
    return Meta(ge=minimum, le=LARGEST, description=about, extra={_CAP: maximum})


class QueryDecoder(Generic[Query]):
    """Turns the parameters of a request into the struct that declares them."""

    def __init__(self, kind: type[Query]) -> None:
        described = inspect.type_info(kind)
        assert isinstance(described, inspect.StructType)  # noqa: S101 - for mypy; TypeVar's bound says so
        self._kind = kind
        self._readers = {field.name: _reader(field) for field in described.fields}
        self._without = kind()

    def decode(
        self, params: Mapping[str, str | list[str]], *, is_reading: bool, ignores_unknown: bool = False
    ) -> Query:
        """The struct; raises InvalidRequest with a sentence that names the parameter."""
        if not params:
            return self._without
        given = {}
        for name, value in params.items():
            if name in self._readers:
                given[name] = self._readers[name](name, _single(name, value))
            elif not (ignores_unknown or (is_reading and name in _CACHE_BUSTERS)):
                known = ", ".join(self._readers) or "none"
                raise InvalidRequest(f"{name[:100]!r} is not a known parameter; known here: {known}.", name[:100])
        return self._kind(**given)


def _single(name: str, value: str | list[str]) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} is given {len(value)} times; give it once.", name)
    return value


def _reader(field: inspect.Field) -> _Reader:
    """How the values of a field are read, by its type."""
    kind, cap = _plain(field.type)
    if isinstance(kind, inspect.IntType):
        return _integers(kind.ge or 0, LARGEST if kind.le is None else kind.le, cap)
    if isinstance(kind, inspect.BoolType):
        return _boolean
    if isinstance(kind, inspect.EnumType):
        return _choices(kind.cls)
    if isinstance(kind, inspect.StrType) and kind.max_length is not None:
        return _texts(kind.max_length, field.default)
    raise TypeError(f"{field.name} is a query parameter of the type {kind}, which has no reader.")


def _plain(kind: inspect.Type) -> tuple[inspect.Type, int | None]:
    """A field's type without its description and without None, and its cap."""
    cap = None
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            cap = (kind.extra or {}).get(_CAP)
            kind = kind.type
        else:
            (kind,) = (option for option in kind.types if not isinstance(option, inspect.NoneType))
    return kind, cap


def _integers(minimum: int, maximum: int, cap: int | None) -> _Reader:
    best = maximum if cap is None else cap

    def read(name: str, value: str) -> int:
        number = int(value) if _DIGITS.fullmatch(value) else -1
        if not minimum <= number <= maximum:
            raise InvalidRequest(f"{name} is {value[:100]!r}; it must be an integer from {minimum} to {best}.", name)
        return min(number, best)

    return read


def _boolean(name: str, value: str) -> bool:
    found = _BOOLEANS.get(value.lower())
    if found is None:
        raise InvalidRequest(f"{name} is {value[:100]!r}; it must be true or false.", name)
    return found


def _choices(kind: type[Enum]) -> _Reader:
    options = {str(member.value): member for member in kind}

    def read(name: str, value: str) -> Enum:
        if value not in options:
            raise InvalidRequest(f"{name} is {value[:100]!r}; it must be one of {', '.join(options)}.", name)
        return options[value]

    return read


def _texts(longest: int, default: Any) -> _Reader:
    def read(name: str, value: str) -> Any:
        text = value.strip()
        if len(text) > longest:
            raise InvalidRequest(f"{name} has {len(text)} characters; at most {longest} are allowed.", name)
        return text or default

    return read
