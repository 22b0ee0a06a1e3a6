"""`GET /api/status/<job_id>`, at once or when there is news."""

from __future__ import annotations

import time
from typing import Annotated, Final

import falcon
from falcon import Request, Response
from msgspec import Meta, Struct

from http_api.api.rendering import RenderedStatus, StatusRenderer
from http_api.server import file_answer, places
from http_api.server.client_address import sender
from http_api.server.forwarded import below
from service.snapshot_reader import SnapshotReader
from service.watch import JobWatcher

#: What a client is asked to wait, in seconds, that came when too many others were waiting for news.
POLL_AFTER: Final = 5


class StatusQuery(Struct, frozen=True, kw_only=True):
    """The parameters of `GET /api/status/<job_id>`."""

    wait: Annotated[
        int,
        Meta(
            ge=0,
            le=60,
            description="Seconds to wait for its end, or with If-None-Match for any change; while too many wait "
            "already it is answered at once, with Retry-After",
        ),
    ] = 0


class StatusResource:
    """What is known of a job.

    With `wait=n` the answer comes as soon as the job has ended, or after n seconds. A client that sends
    the ETag of its last answer (If-None-Match) gets the next one as soon as anything has changed, or 304.
    Where too many wait already the answer comes at once, with Retry-After: any client may poll instead.
    """

    def __init__(self, reader: SnapshotReader, watcher: JobWatcher, renderer: StatusRenderer) -> None:
        self._reader = reader
        self._watcher = watcher
        self._renderer = renderer

    def on_get(self, req: Request, resp: Response, job_id: str, query: StatusQuery) -> None:
        """Answer the status."""
        found = self._wait(req, resp, job_id, query.wait) if query.wait else self._now(job_id)
        resp.etag = found.version
        resp.set_header("Cache-Control", "no-cache")
        if file_answer.is_not_modified(req, found.version):
            resp.status = falcon.HTTP_304
            return
        resp.content_type = falcon.MEDIA_JSON
        resp.data = below(req.context.prefix, found.body)

    on_head = on_get

    def _now(self, job_id: str) -> RenderedStatus:
        return self._renderer.render(self._reader.read(job_id))

    def _wait(self, req: Request, resp: Response, job_id: str, seconds: int) -> RenderedStatus:
        place = places.WAITING.take(sender(req).key)
        if place is None:
            resp.set_header("Retry-After", str(POLL_AFTER))
            return self._now(job_id)
        with place:
            return self._news(req, job_id, seconds)

    def _news(self, req: Request, job_id: str, seconds: int) -> RenderedStatus:
        end = time.monotonic() + seconds
        is_conditional = bool(req.if_none_match)
        with self._watcher.watch(job_id) as (first, subscription):
            latest = self._renderer.render_shared(first)
            while not (latest.is_final or (is_conditional and not file_answer.is_not_modified(req, latest.version))):
                left = end - time.monotonic()
                if left <= 0 or subscription.is_over:
                    break
                news = subscription.wait(left)
                latest = self._renderer.render_shared(news) if news is not None else latest
        return latest
