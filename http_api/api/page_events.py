"""`GET /api/events`: everything that a page shows, as one stream of server-sent events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import falcon
import msgspec
from falcon import Request, Response
from msgspec import Struct

from http_api.api import image_view, job_view, queue_view
from http_api.api.queue_answers import OrderAnswer, RemovedAnswer
from http_api.server import event_stream, places
from http_api.server.client_address import sender
from http_api.server.errors import ApiError
from http_api.server.forwarded import below
from outputs.sidecar import Sidecar
from service.active_jobs import JobOrder
from service.page_watch import Event, PageSubscription, PageWatcher, RemovedImage, Told
from service.snapshot import JobSnapshot, QueueSnapshot, RunnerSnapshot


def render(told: Told) -> Event:
    """An event as it is sent, without the prefix of a proxy."""
    match told:
        case QueueSnapshot():
            return _event("queue", "queue", queue_view.queue(told))
        case RunnerSnapshot():
            return _event("runner", "runner", queue_view.runner(told))
        case JobOrder():
            return _event("jobs", "jobs", OrderAnswer(order=list(told.ids), more=told.more))
        case JobSnapshot():
            return _event("job", f"job {told.job.id}", job_view.status(told))
        case Sidecar():
            return _event("image", f"image {told.id}", image_view.in_gallery(told))
        case RemovedImage():
            return _event("image_removed", f"image {told.id}", RemovedAnswer(id=told.id))


def _event(kind: str, key: str, answer: Struct) -> Event:
    return Event(key, event_stream.event(kind, msgspec.json.encode(answer)))


class PageEventResource:
    """Streams the present state, then whatever changes.

    Events have no ids: whoever connects again is told the whole state again. A client that is slow gets the latest
    of each thing.
    """

    def __init__(self, watcher: PageWatcher) -> None:
        self._watcher = watcher

    def on_get(self, req: Request, resp: Response) -> None:
        """Begin the stream."""
        place = places.STREAMS.take(sender(req).key)
        if place is None:
            raise ApiError(falcon.HTTP_503, "Too many event streams are open; poll /api/queue instead.", wait=5)
        with ExitStack() as held:
            held.enter_context(place)
            subscription = held.enter_context(self._watcher.watch())
            event_stream.begin(resp, _events(subscription, req.context.prefix), held.pop_all().close)


def _events(subscription: PageSubscription, prefix: str) -> Iterator[bytes]:
    yield event_stream.RETRY
    end = time.monotonic() + event_stream.LIFETIME
    while not subscription.is_over and time.monotonic() < end:
        news = subscription.wait(event_stream.KEEP_ALIVE)
        if news or not subscription.is_over:
            yield b"".join(below(prefix, event.content) for event in news) or event_stream.COMMENT
