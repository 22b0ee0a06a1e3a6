"""What a door is: an API at a prefix of its own, with its own words for errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from falcon import Request, Response
from msgspec import Struct

from http_api.api.answers import ErrorAnswer


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What went wrong with a request, before a door puts it into its own form."""

    status: int
    #: A sentence for people.
    message: str
    request_id: str | None
    #: For programs: the field that is wrong (`field`), a stable word (`error_type`), seconds to wait (`retry_after`).
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Door:
    """An API: where its addresses begin, and how it says that something went wrong."""

    #: As `/v1`; empty for our own, which has all that no other door has.
    prefix: str
    #: The struct of its errors, and how one is made.
    error: type[Struct]
    tell: Callable[[Failure], Struct]
    #: Its own statuses, by ours.
    statuses: Mapping[int, int] = field(default_factory=dict)
    #: Headers that it sends with an error.
    headers: Callable[[Failure], Mapping[str, str]] = lambda failure: {}
    #: How keys may be presented, as WWW-Authenticate names it.
    challenge: str = "Bearer"
    #: Whether fields and parameters that it does not know are ignored, as its clients expect.
    ignores_unknown: bool = False

    def status(self, ours: int) -> int:
        """The status that it answers with."""
        return self.statuses.get(ours, ours)


def _own(failure: Failure) -> Struct:
    answer = {"status": "error", "message": failure.message, "request_id": failure.request_id, **failure.extra}
    return msgspec.convert(answer, ErrorAnswer)


#: Our own API, and whatever is at no other door's prefix.
NATIVE = Door(prefix="", error=ErrorAnswer, tell=_own)


class DoorFinder:
    """Notes for each request whose door it came to, also where nothing is at its address: `req.context.door`."""

    def __init__(self, doors: Iterable[Door]) -> None:
        self._doors = [door for door in dict.fromkeys(doors) if door.prefix]

    def process_request(self, req: Request, resp: Response) -> None:
        """Before anything that may fail."""
        req.context.door = next((door for door in self._doors if _is_below(req.path, door.prefix)), NATIVE)


def door_of(req: Request) -> Door:
    """What was noted for this request."""
    return cast(Door, req.context.door)


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
