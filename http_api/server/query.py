"""Query parameters: known names only, whole numbers in plain digits, each at most once."""

from __future__ import annotations

import re
from typing import Final

from falcon import Request

from core.errors import InvalidRequest

_DIGITS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_BOOLEAN: Final = {"true": True, "1": True, "false": False, "0": False}
_LONGEST: Final = 1000
#: What pages add to an address so that no cache answers; on reading it means nothing.
_CACHE_BUSTERS: Final = frozenset({"_", "t", "retry", "v"})


class Query:
    """The parameters of one request; raises InvalidRequest for a name that is not `known`, or given twice."""

    def __init__(self, req: Request, *known: str) -> None:
        self._values: dict[str, str] = {}
        ignored = _CACHE_BUSTERS if req.method in ("GET", "HEAD") else frozenset()
        for name, value in req.params.items():
            if name in ignored and name not in known:
                continue
            if name not in known:
                allowed = ", ".join(known) or "none"
                raise InvalidRequest(f"{name[:100]!r} is not a known parameter; known here: {allowed}.", name[:100])
            if not isinstance(value, str):
                raise InvalidRequest(f"{name} is given {len(value)} times; give it once.", name)
            self._values[name] = value

    def integer(self, name: str, default: int, minimum: int, maximum: int, *, is_capped: bool = False) -> int:
        """A whole number from `minimum` to `maximum`; `is_capped` takes a larger one for the maximum."""
        value = self._values.get(name)
        if value is None:
            return default
        number = int(value) if _DIGITS.fullmatch(value) else -1
        if number < minimum or (number > maximum and not is_capped):
            raise InvalidRequest(
                f"{name} is {value[:100]!r}; it must be a whole number from {minimum} to {maximum}.", name
            )
        return min(number, maximum)

    def boolean(self, name: str) -> bool:
        """`true` or `false`; absent is false."""
        value = self._values.get(name, "false")
        if value.lower() not in _BOOLEAN:
            raise InvalidRequest(f"{name} is {value[:100]!r}; it must be true or false.", name)
        return _BOOLEAN[value.lower()]

    def choice(self, name: str, options: tuple[str, ...]) -> str | None:
        """One of some words; None if absent."""
        value = self._values.get(name)
        if value is not None and value not in options:
            raise InvalidRequest(f"{name} is {value[:100]!r}; it must be one of {', '.join(options)}.", name)
        return value

    def text(self, name: str) -> str | None:
        """A text; None if absent or blank."""
        value = self._values.get(name, "").strip()
        if len(value) > _LONGEST:
            raise InvalidRequest(f"{name} has {len(value)} characters; at most {_LONGEST} are allowed.", name)
        return value or None
