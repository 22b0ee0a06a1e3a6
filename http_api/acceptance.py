"""Accepting a job: charged, stored durably, and only then answered; once per Idempotency-Key."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from uuid import UUID, uuid5

import falcon
from falcon import Request

from http_api import blocking
from http_api.client_address import client_key
from http_api.errors import ApiError
from http_api.parts import Parts
from jobs.errors import DuplicateJob, InvalidRequest, JobNotFound
from jobs.requests import sent_settings
from jobs.schema import GenerateRequest, Job, State

#: The namespace of job ids that follow from an Idempotency-Key.
_KEY_NAMESPACE: Final = UUID("b6f6a3a4-52a5-4c7e-8d0b-6a3c1f0f9b27")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


class Acceptance:
    """Makes jobs of valid requests. Any number of workers may do so at once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def accept(self, req: Request, request: GenerateRequest, retry_of: str | None = None) -> tuple[State, Job]:
        """The job that `request` asks for, stored, and its state (pending, unless its key was used before).

        Raises RateLimited, QueueFull, StorageUnavailable; then nothing is stored or charged. Raises
        ApiError 422 for a key that belongs to another request.
        """
        client = client_key(req, self._parts.settings.trusted_proxies)
        key = _idempotency_key(req)
        if key is None:
            return blocking.run(lambda: self._accept(request, client, retry_of))
        job_id = str(uuid5(_KEY_NAMESPACE, f"{retry_of or ''}\n{key}"))
        return blocking.run(lambda: self._accept_once(request, client, job_id, retry_of))

    def _accept(self, request: GenerateRequest, client: str, retry_of: str | None) -> tuple[State, Job]:
        job = self._job(request, None, retry_of)
        self._charged(client, job, self._parts.spool.submit)
        return State.PENDING, job

    def _accept_once(
        self, request: GenerateRequest, client: str, job_id: str, retry_of: str | None
    ) -> tuple[State, Job]:
        """The job of this key: the one that there is, or a new one."""
        try:
            return self._repeat(request, job_id)
        except JobNotFound:
            job = self._job(request, job_id, retry_of)
        try:
            self._charged(client, job, self._parts.spool.submit_named)
        except DuplicateJob:
            return self._repeat(request, job_id)
        return State.PENDING, job

    def _job(self, request: GenerateRequest, job_id: str | None, retry_of: str | None) -> Job:
        order = self._parts.spool.clock.issue()
        job = self._parts.validator.job(request, job_id=job_id or order, order=order, source="http")
        return job.evolve(retry_of=retry_of) if retry_of else job

    def _charged(self, client: str, job: Job, store: Callable[[Job], None]) -> None:
        receipt = self._parts.limiter.charge(client)
        try:
            store(job)
        except BaseException:
            self._parts.limiter.refund(receipt)
            raise

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
