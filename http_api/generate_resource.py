"""`POST /api/generate`: a request becomes a job."""

from __future__ import annotations

import re
from typing import Any, Final
from uuid import UUID, uuid5

import falcon
from falcon import Request, Response

from http_api import blocking
from http_api.client_address import client_key
from http_api.errors import ApiError
from http_api.job_view import api_status
from http_api.parts import Parts
from http_api.query import Query
from http_api.request_body import read_json
from jobs.errors import DuplicateJob, InvalidRequest, JobNotFound
from jobs.requests import sent_settings
from jobs.schema import GenerateRequest, Job, State

#: The namespace of job ids that follow from an Idempotency-Key.
_KEY_NAMESPACE: Final = UUID("b6f6a3a4-52a5-4c7e-8d0b-6a3c1f0f9b27")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


class GenerateResource:
    """Accepts jobs: durable before it answers, charged only if accepted."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_post(self, req: Request, resp: Response) -> None:
        """Store the job and answer its id."""
        Query(req)
        request = self._parts.validator.generate(read_json(req))
        client = client_key(req, self._parts.settings.trusted_proxies)
        key = _idempotency_key(req)
        if key is None:
            state, job = blocking.run(lambda: self._accept(request, client))
        else:
            state, job = blocking.run(lambda: self._accept_once(request, client, key))
        req.context.job_id = job.id
        resp.set_header("Location", f"/api/status/{job.id}")
        resp.media = _answer(job, state)

    def _accept(self, request: GenerateRequest, client: str) -> tuple[State, Job]:
        order = self._parts.spool.clock.issue()
        job = self._parts.validator.job(request, job_id=order, order=order, source="http")
        receipt = self._parts.limiter.charge(client)
        try:
            self._parts.spool.submit(job)
        except BaseException:
            self._parts.limiter.refund(receipt)
            raise
        return State.PENDING, job

    def _accept_once(self, request: GenerateRequest, client: str, key: str) -> tuple[State, Job]:
        """The job of this key: the one that there is, or a new one."""
        job_id = str(uuid5(_KEY_NAMESPACE, key))
        try:
            return self._repeat(request, job_id)
        except JobNotFound:
            pass
        job = self._parts.validator.job(request, job_id=job_id, order=self._parts.spool.clock.issue(), source="http")
        receipt = self._parts.limiter.charge(client)
        try:
            self._parts.spool.submit_named(job)
        except DuplicateJob:
            self._parts.limiter.refund(receipt)
            return self._repeat(request, job_id)
        except BaseException:
            self._parts.limiter.refund(receipt)
            raise
        return State.PENDING, job

    def _repeat(self, request: GenerateRequest, job_id: str) -> tuple[State, Job]:
        state, job = self._parts.spool.find(job_id)
        if not self._asks_the_same(request, job):
            raise ApiError(
                falcon.HTTP_422,
                "This Idempotency-Key was used for another request; use a new key for a new job.",
                field="Idempotency-Key",
            )
        return state, job

    def _asks_the_same(self, request: GenerateRequest, job: Job) -> bool:
        asked = (
            self._parts.catalog.key(request.model_id),
            request.prompt,
            request.negative_prompt or None,
            sent_settings(request.settings),
        )
        return asked == (job.model_id, job.prompt, job.negative_prompt, job.settings)


def _idempotency_key(req: Request) -> str | None:
    key = req.get_header("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequest(
            f"Idempotency-Key is {key[:60]!r}; it must be 1 to 255 printable ASCII characters, such as a UUID.",
            "Idempotency-Key",
        )
    return key


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
