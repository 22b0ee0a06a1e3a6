"""`GET /api/jobs/<job_id>/events`: a job's status as server-sent events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import falcon
from falcon import Request, Response

from http_api.api.rendering import RenderedStatus, StatusRenderer
from http_api.server import event_stream, places
from http_api.server.client_address import sender
from http_api.server.errors import ApiError
from http_api.server.forwarded import below
from service.watch import JobWatcher, Subscription


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
            events = self._events(first, subscription, known, req.context.prefix)
            event_stream.begin(resp, events, held.pop_all().close)

    def _events(
        self, first: RenderedStatus, subscription: Subscription, known: str | None, prefix: str
    ) -> Iterator[bytes]:
        yield event_stream.RETRY
        latest = first
        if first.version != known:
            yield _event(first, prefix)
        end = time.monotonic() + event_stream.LIFETIME
        while not latest.is_final and not subscription.is_over and time.monotonic() < end:
            news = subscription.wait(event_stream.KEEP_ALIVE)
            if news is None:
                if not subscription.is_over:
                    yield event_stream.COMMENT
                continue
            rendered = self._renderer.render_shared(news)
            if rendered.version != latest.version:
                yield _event(rendered, prefix)
            latest = rendered
        if latest.is_final:
            yield event_stream.event("end", b"{}")


def _event(status: RenderedStatus, prefix: str) -> bytes:
    return event_stream.event("status", below(prefix, status.body), status.version)
