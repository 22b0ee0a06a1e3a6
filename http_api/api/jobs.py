"""Jobs by themselves: list them, cancel one, try one again, see its preview."""

from __future__ import annotations

import hashlib
import io
from typing import Annotated, Final

import falcon
from falcon import Request, Response
from msgspec import Meta, Struct

from http_api.api.answers import CancelAnswer, JobsAnswer
from http_api.api.generate import answer_accepted, client_of
from http_api.api.job_view import summary
from http_api.server import blocking, file_answer
from http_api.server.errors import ApiError
from http_api.server.query import Text
from jobs.index.job_index import JobIndex
from jobs.schema import State
from jobs.spool import Spool
from service.cancel import cancel
from service.submit import Submitter

#: What `status` may ask for: all that are shown by that word, and by itself a state that is shown by another's.
STATES_SHOWN: Final = {word: tuple(state for state in State if state.shown_as == word) or (word,) for word in State}


class JobListQuery(Struct, frozen=True, kw_only=True):
    """The parameters of `GET /api/jobs`."""

    status: Annotated[
        State | None,
        Meta(description="Only jobs with this status; `failed` includes the cancelled ones"),
    ] = None
    model: Annotated[Text | None, Meta(description="Only jobs of this model")] = None
    limit: Annotated[int, Meta(ge=1, le=100, description="Jobs per page")] = 20
    cursor: Annotated[Text | None, Meta(description="The next_cursor of the page before")] = None


class PreviewQuery(Struct, frozen=True, kw_only=True):
    """The parameters of `GET /api/jobs/<job_id>/preview`."""

    version: Annotated[
        Text | None, Meta(description="As in preview_url: a word that makes each preview's address its own")
    ] = None


class JobListResource:
    """`GET /api/jobs`."""

    def __init__(self, jobs: JobIndex) -> None:
        self._jobs = jobs

    def on_get(self, req: Request, resp: Response, query: JobListQuery) -> None:
        """Jobs, newest first, and the cursor of the next page."""
        states = STATES_SHOWN[query.status] if query.status else tuple(State)
        page = blocking.run(
            lambda: self._jobs.page(states=states, model=query.model, limit=query.limit, cursor=query.cursor),
            blocking.READS,
        )
        jobs = [summary(job, state) for state, job in page.jobs]
        resp.media = JobsAnswer(jobs=jobs, limit=query.limit, next_cursor=page.next_cursor)

    on_head = on_get


class CancelResource:
    """`POST /api/jobs/<job_id>/cancel`."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def on_post(self, req: Request, resp: Response, job_id: str) -> None:
        """Cancel at once if it waits, within a step if it runs; again is fine, too late is 409."""
        is_over = blocking.run(lambda: cancel(self._spool, job_id))
        message = "Job cancelled" if is_over else "The job stops at its next step"
        resp.media = CancelAnswer(status="success", message=message, job_id=job_id, cancelled=is_over)


class RetryResource:
    """`POST /api/jobs/<job_id>/retry`."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter

    def on_post(self, req: Request, resp: Response, job_id: str) -> None:
        """A new job with the same request and seed; only for a job that has ended."""
        client = client_of(req)
        answer_accepted(req, resp, *blocking.run(lambda: self._submitter.retry(job_id, client)))


class PreviewResource:
    """`GET /api/jobs/<job_id>/preview`: how the current image looks so far."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def on_get(self, req: Request, resp: Response, job_id: str, query: PreviewQuery) -> None:
        """The latest preview; 404 where there is none (yet, or no more)."""
        self._spool.find(job_id)
        preview = self._spool.preview(job_id)
        if preview is None:
            raise ApiError(falcon.HTTP_404, "There is no preview of this job now.")
        resp.set_header("Cache-Control", "no-cache")
        etag = hashlib.sha256(preview).hexdigest()
        file_answer.send(req, resp, io.BytesIO(preview), size=len(preview), etag=etag, content_type="image/webp")

    on_head = on_get
