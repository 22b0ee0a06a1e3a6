"""Answers that are streams of events (server-sent events)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from falcon import Response

#: Seconds between comments that keep proxies from closing a silent stream, and find clients that are gone.
KEEP_ALIVE: Final = 15.0
COMMENT: Final = b": keep-alive\n\n"
#: Seconds after which a stream ends by itself; the browser connects again and misses nothing.
LIFETIME: Final = 3600.0
#: After how many milliseconds a browser connects again.
RETRY: Final = b"retry: 2000\n\n"


def begin(resp: Response, events: Iterator[bytes], end: Callable[[], object]) -> None:
    """Answer with `events`; `end` is called once, however the answer ends."""
    resp.content_type = "text/event-stream"
    resp.set_header("X-Accel-Buffering", "no")
    resp.stream = Stream(events, end)


def event(name: str, data: bytes, version: str | None = None) -> bytes:
    """One event, of data without line breaks; `version` is the id that a client comes back with."""
    head = b"event: " + name.encode() + (b"" if version is None else b"\nid: " + version.encode())
    return head + b"\ndata: " + data + b"\n\n"


class Stream:
    """An answer in parts that ends what is behind it when the server closes it, even if it never began."""

    def __init__(self, events: Iterator[bytes], end: Callable[[], object]) -> None:
        self._events = events
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        return self._events

    def close(self) -> None:
        """Called by the server, however the answer ended."""
        self._end()

    def __del__(self) -> None:
        # The server never begins, and so never closes, an answer whose head it could not send.
        self._end()
