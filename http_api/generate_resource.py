"""`POST /api/generate`: a request becomes a job."""

from __future__ import annotations

from typing import Any

from falcon import Request, Response

from http_api.acceptance import Acceptance
from http_api.job_view import api_status
from http_api.query import Query
from http_api.request_body import read_json
from jobs.requests import RequestValidator
from jobs.schema import Job, State


class GenerateResource:
    """Accepts jobs."""

    def __init__(self, validator: RequestValidator, acceptance: Acceptance) -> None:
        self._validator = validator
        self._acceptance = acceptance

    def on_post(self, req: Request, resp: Response) -> None:
        """Store the job and answer its id."""
        Query(req)
        request = self._validator.generate(read_json(req))
        answer_accepted(req, resp, *self._acceptance.accept(req, request))


def answer_accepted(req: Request, resp: Response, state: State, job: Job) -> None:
    """The answer to an accepted job."""
    req.context.job_id = job.id
    resp.set_header("Location", f"/api/status/{job.id}")
    resp.media = _answer(job, state)


def _answer(job: Job, state: State) -> dict[str, Any]:
    number = job.effective_settings.num_images
    return {
        "job_id": job.id,
        "status": api_status(state),
        "num_images": number,
        "message": f"Image generation job submitted successfully for {number} image(s)",
        "seed": job.effective_settings.seed,
        "warnings": job.warnings,
    }
