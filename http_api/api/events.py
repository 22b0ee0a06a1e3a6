"""`GET /api/jobs/<job_id>/events`: a job's status as server-sent events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

import falcon
from falcon import Request, Response

from http_api.api.rendering import RenderedStatus, StatusRenderer
from http_api.server import places
from http_api.server.client_address import sender
from http_api.server.errors import ApiError
from http_api.server.forwarded import below
from service.watch import JobWatcher, Subscription

#: Seconds between comments that keep proxies from closing a silent stream, and find clients that are gone.
KEEP_ALIVE: Final = 15.0
#: Seconds after which a stream ends by itself; the browser connects again and misses nothing.
LIFETIME: Final = 3600.0
#: After how many milliseconds a browser connects again.
RETRY: Final = b"retry: 2000\n\n"


class EventResource:
    """Streams `status` events, each the whole answer of `/status`, and one `end` event.

    The id of an event stands for its content. A client that comes back with the last id it saw
    (Last-Event-ID) is not told it again; if that was the end it gets 204, which stops a browser's
    EventSource for good.
    """

    def __init__(self, watcher: JobWatcher, renderer: StatusRenderer) -> None:
        self._watcher = watcher
        self._renderer = renderer

    def on_get(self, req: Request, resp: Response, job_id: str) -> None:
        """Begin the stream; raises JobNotFound before it begins."""
        place = places.STREAMS.take(sender(req).key)
        if place is None:
            raise ApiError(falcon.HTTP_503, "Too many event streams are open; poll /api/status instead.", wait=5)
        known = req.get_header("Last-Event-ID")
        with ExitStack() as held:
            held.enter_context(place)
            snapshot, subscription = held.enter_context(self._watcher.watch(job_id))
            first = self._renderer.render_shared(snapshot)
            if first.is_final and first.version == known:
                resp.status = falcon.HTTP_204
                return
            resp.content_type = "text/event-stream"
            resp.set_header("X-Accel-Buffering", "no")
            events = self._events(first, subscription, known, req.context.prefix)
            resp.stream = Stream(events, held.pop_all().close)

    def _events(
        self, first: RenderedStatus, subscription: Subscription, known: str | None, prefix: str
    ) -> Iterator[bytes]:
        yield RETRY
        latest = first
        if first.version != known:
            yield _event(first, prefix)
        end = time.monotonic() + LIFETIME
        while not latest.is_final and not subscription.is_over and time.monotonic() < end:
            news = subscription.wait(KEEP_ALIVE)
            if news is None:
                if not subscription.is_over:
                    yield b": keep-alive\n\n"
                continue
            rendered = self._renderer.render_shared(news)
            if rendered.version != latest.version:
                yield _event(rendered, prefix)
            latest = rendered
        if latest.is_final:
            yield b"event: end\ndata: {}\n\n"


class Stream:
    """An iterable that unsubscribes when the server closes it, even if it never began."""

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


def _event(status: RenderedStatus, prefix: str) -> bytes:
    data = below(prefix, status.body)
    return b"event: status\nid: " + status.version.encode() + b"\ndata: " + data + b"\n\n"
