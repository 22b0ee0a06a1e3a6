"""Jobs by themselves: list them, cancel one, try one again, see its preview."""

from __future__ import annotations

import hashlib
import io
from typing import Final

import falcon
from falcon import Request, Response

from http_api.api.generate import answer_accepted, client_of
from http_api.api.job_view import summary
from http_api.server import blocking, file_answer
from http_api.server.errors import ApiError
from http_api.server.query import Query
from http_api.server.request_body import refuse_body
from jobs.index.job_index import JobIndex
from jobs.schema import State
from jobs.spool import Spool
from service.cancel import cancel
from service.submit import Submitter

MAX_LIMIT: Final = 100
#: What `status` may ask for: all that are shown by that word, and by itself a state that is shown by another's.
STATUSES: Final = {word.value: tuple(state for state in State if state.shown_as == word) or (word,) for word in State}


class JobListResource:
    """`GET /api/jobs`."""

    def __init__(self, jobs: JobIndex) -> None:
        self._jobs = jobs

    def on_get(self, req: Request, resp: Response) -> None:
        """Jobs, newest first, and the cursor of the next page."""
        query = Query(req, "status", "model", "limit", "cursor")
        status = query.choice("status", tuple(STATUSES))
        states = STATUSES[status] if status else tuple(State)
        limit, model, cursor = query.integer("limit", 20, 1, MAX_LIMIT), query.text("model"), query.text("cursor")
        page = blocking.run(lambda: self._jobs.page(states=states, model=model, limit=limit, cursor=cursor))
        resp.media = {
            "jobs": [summary(job, state) for state, job in page.jobs],
            "limit": limit,
            "next_cursor": page.next_cursor,
        }

    on_head = on_get


class CancelResource:
    """`POST /api/jobs/<job_id>/cancel`."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def on_post(self, req: Request, resp: Response, job_id: str) -> None:
        """Cancel at once if it waits, within a step if it runs; again is fine, too late is 409."""
        Query(req)
        refuse_body(req)
        is_over = blocking.run(lambda: cancel(self._spool, job_id))
        resp.media = {
            "status": "success",
            "job_id": job_id,
            "cancelled": is_over,
            "message": "Job cancelled" if is_over else "The job stops at its next step",
        }


class RetryResource:
    """`POST /api/jobs/<job_id>/retry`."""

    def __init__(self, submitter: Submitter, trusted_proxies: int) -> None:
        self._submitter = submitter
        self._trusted_proxies = trusted_proxies

    def on_post(self, req: Request, resp: Response, job_id: str) -> None:
        """A new job with the same request and seed; only for a job that has ended."""
        Query(req)
        refuse_body(req)
        client = client_of(req, self._trusted_proxies)
        answer_accepted(req, resp, *blocking.run(lambda: self._submitter.retry(job_id, client)))


class PreviewResource:
    """`GET /api/jobs/<job_id>/preview`: how the current image looks so far."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def on_get(self, req: Request, resp: Response, job_id: str) -> None:
        """The latest preview; 404 where there is none (yet, or no more)."""
        Query(req, "version")
        self._spool.find(job_id)
        preview = self._spool.preview(job_id)
        if preview is None:
            raise ApiError(falcon.HTTP_404, "There is no preview of this job now.")
        resp.set_header("Cache-Control", "no-cache")
        etag = hashlib.sha256(preview).hexdigest()
        file_answer.send(req, resp, io.BytesIO(preview), size=len(preview), etag=etag, content_type="image/webp")

    on_head = on_get
