"""`GET /api/status/<job_id>`, at once or when there is news."""

from __future__ import annotations

import time
from typing import Annotated

import falcon
from falcon import Request, Response
from msgspec import Meta, Struct

from http_api.api.rendering import RenderedStatus, StatusRenderer
from http_api.server import file_answer
from http_api.server.forwarded import below
from service.snapshot_reader import SnapshotReader
from service.watch import JobWatcher


class StatusQuery(Struct, frozen=True, kw_only=True):
    """The parameters of `GET /api/status/<job_id>`."""

    wait: Annotated[
        int, Meta(ge=0, le=60, description="Seconds to wait for its end, or with If-None-Match for any change")
    ] = 0


class StatusResource:
    """What is known of a job.

    With `wait=n` the answer comes as soon as the job has ended, or after n seconds. A client that sends
    the ETag of its last answer (If-None-Match) gets the next one as soon as anything has changed, or 304.
    """

    def __init__(self, reader: SnapshotReader, watcher: JobWatcher, renderer: StatusRenderer) -> None:
        self._reader = reader
        self._watcher = watcher
        self._renderer = renderer

    def on_get(self, req: Request, resp: Response, job_id: str, query: StatusQuery) -> None:
        """Answer the status."""
        found = self._wait(req, job_id, query.wait) if query.wait else self._renderer.render(self._reader.read(job_id))
        resp.etag = found.version
        resp.set_header("Cache-Control", "no-cache")
        if file_answer.is_not_modified(req, found.version):
            resp.status = falcon.HTTP_304
            return
        resp.content_type = falcon.MEDIA_JSON
        resp.data = below(req.context.prefix, found.body)

    on_head = on_get

    def _wait(self, req: Request, job_id: str, seconds: int) -> RenderedStatus:
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
