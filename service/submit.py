"""Submitting a job: charged, stored durably, and only then answered; once per Idempotency-Key, once per call."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import msgspec

from core.errors import InvalidRequest
from core.locks import Presence
from jobs.errors import DuplicateJob, JobNotFound
from jobs.pictures import FIELDS, FoundPictures, named
from jobs.requests import distinct, sent_settings
from jobs.schema import GenerateRequest, Job, State
from service.errors import ClientGone, KeyReused, StateConflict
from service.repeats import Repeats
from service.services import Services

#: The namespace of job ids that follow from an Idempotency-Key.
_KEY_NAMESPACE: Final = UUID("b6f6a3a4-52a5-4c7e-8d0b-6a3c1f0f9b27")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


class Client(NamedTuple):
    """Who submits."""

    #: What the rate limit counts by.
    address: str
    #: The Idempotency-Key that was sent, if any.
    idempotency_key: str | None = None
    #: The name of the API key that was shown, where keys are needed.
    key_name: str | None = None
    #: Whether the request comes from this machine, and not through a proxy.
    is_own_machine: bool = False
    #: How often the client's library has sent this request before, where it repeats requests by itself and says so.
    tries: int | None = None
    #: Whether the client has hung up.
    is_gone: Callable[[], bool] = lambda: False

    @property
    def scope(self) -> str:
        """Within which an Idempotency-Key means one job: two clients may both call theirs `1`."""
        return f"key {self.key_name}" if self.key_name else f"address {self.address}"


class Submitter:
    """Makes jobs of valid requests. Any number of processes and threads may do so at once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._repeats = Repeats(services.spool)

    def submit(self, request: GenerateRequest, client: Client, retry_of: str | None = None) -> tuple[State, Job]:
        """The job that `request` asks for, stored, and its state (pending, unless its key was used before).

        Raises RateLimited, QueueFull, StorageUnavailable; then nothing is charged, and no job is stored. Raises
        KeyReused for a key that belongs to another request, JobBusy while the request that used it first is still
        being stored, and InvalidRequest for one that can be none. Of a client that counts its tries a later one gets
        the job of the first; raises ClientGone where it has hung up meanwhile.
        """
        if client.idempotency_key is None and client.tries is not None:
            return self._submit_try(request, client, client.tries)
        if client.idempotency_key is None:
            job, found = self._job(request, None, retry_of)
            self._charged(client, job, found, self._services.spool.submit)
            return State.PENDING, job
        _check_key(client.idempotency_key)
        job_id = str(uuid5(_KEY_NAMESPACE, f"{client.scope}\n{retry_of or ''}\n{client.idempotency_key}"))
        return self._submit_once(request, client, job_id, retry_of)

    def retry(self, job_id: str, client: Client) -> tuple[State, Job]:
        """A new job with the request and seed of one that has ended.

        Raises JobNotFound, StateConflict for a job that has not ended, and as `submit`. The catalog may have
        changed, so the request is checked again.
        """
        state, job = self._services.spool.find(job_id)
        if not state.is_final:
            raise StateConflict(f"The job is {state.value}; only a job that has ended can be tried again.")
        body: dict[str, Any] = {
            "model_id": job.model_id,
            "prompt": job.prompt,
            "negative_prompt": job.negative_prompt,
            **{name: picture.id for name in FIELDS if (picture := getattr(job, name))},
            "settings": {**job.settings, "seed": job.effective_settings.seed},
            "labels": job.labels,
        }
        request = self._services.validator.generate(msgspec.json.encode(body))
        return self.submit(request, client, retry_of=job.id)

    def _submit_once(
        self, request: GenerateRequest, client: Client, job_id: str, retry_of: str | None
    ) -> tuple[State, Job]:
        """The job of this key: the one that there is, or a new one."""
        try:
            return self._repeat(request, job_id)
        except JobNotFound:
            job, found = self._job(request, job_id, retry_of)
        try:
            self._charged(client, job, found, self._services.spool.submit_named)
        except DuplicateJob:
            return self._repeat(request, job_id)
        return State.PENDING, job

    def _submit_try(self, request: GenerateRequest, client: Client, tries: int) -> tuple[State, Job]:
        """The job of one call of a library that repeats its calls: see `service.repeats`."""
        asked = msgspec.json.encode([self._asked(request), dict(named(request))], order="sorted").decode()
        fingerprint = f"{client.scope}\n{asked}"
        # Of this call alone: several may run in threads of their own, and must see each other.
        storing = Presence(self._services.layout.marker)
        if tries:
            self._repeats.wait_for_others(fingerprint, storing)
        with storing.attend(fingerprint):
            # Looked at only now: whoever hung up before may send a later try, which then sees either us or our job.
            if client.is_gone():
                raise ClientGone
            met = self._repeats.find(fingerprint) if tries else None
            return met or (State.PENDING, self._store_next(request, client, fingerprint))

    def _store_next(self, request: GenerateRequest, client: Client, fingerprint: str) -> Job:
        """A new job with the next free id of equal requests."""
        while True:
            job, found = self._job(request, self._repeats.next_id(fingerprint), None)
            try:
                self._charged(client, job, found, self._services.spool.submit_named)
            except DuplicateJob:  # another call took the number meanwhile
                continue
            return job

    def _job(self, request: GenerateRequest, job_id: str | None, retry_of: str | None) -> tuple[Job, FoundPictures]:
        found = self._services.pictures.find(request)
        order = self._services.spool.clock.issue()
        job = self._services.validator.job(
            request, job_id=job_id or order, order=order, source="http", pictures=found.by_field
        )
        return job.evolve(retry_of=retry_of) if retry_of else job, found

    def _charged(self, client: Client, job: Job, found: FoundPictures, store: Callable[[Job], None]) -> None:
        receipt = self._services.limiter.charge(client.address, is_own_machine=client.is_own_machine)
        try:
            if found.by_field:
                self._services.spool.check_capacity()
                self._services.pictures.hold(found)
            store(job)
        except BaseException:
            self._services.limiter.refund(receipt)
            raise

    def _repeat(self, request: GenerateRequest, job_id: str) -> tuple[State, Job]:
        state, job = self._services.spool.find(job_id)
        if not self._asks_the_same(request, job):
            raise KeyReused
        return state, job

    def _asks_the_same(self, request: GenerateRequest, job: Job) -> bool:
        stored = (job.model_id, job.prompt, job.negative_prompt, job.settings, job.labels)
        return self._asked(request) == stored and self._services.pictures.are_those_of(request, job)

    def _asked(self, request: GenerateRequest) -> tuple[Any, ...]:
        return (
            self._services.catalog.key(request.model_id),
            request.prompt,
            request.negative_prompt or None,
            sent_settings(request.settings),
            distinct(request.labels),
        )


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            f"Idempotency-Key is {key[:60]!r}; it must be 1 to 255 printable ASCII characters, such as a UUID.",
            "Idempotency-Key",
        )
