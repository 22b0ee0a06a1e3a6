"""Reads what is known of a job: from the spool, the image store and the index."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec.structs import replace

from core.errors import IndexUnavailable
from jobs.ids import image_id
from jobs.pause import is_paused
from jobs.schema import Job, State
from outputs.errors import DamagedImage, ImageNotFound
from outputs.sidecar import Sidecar
from service.estimate import Estimator
from service.services import Services
from service.snapshot import JobSnapshot, QueueSnapshot


class SnapshotReader:
    """Takes snapshots of jobs. One costs a few reads; the index, which may be missing, is asked for jobs that wait."""

    def __init__(self, services: Services, now: Callable[[], float] = time.time) -> None:
        self._services = services
        self._estimator = Estimator(services, now)

    def read(self, job_id: str, position: int | None = None) -> JobSnapshot:
        """Everything about a job; raises JobNotFound, CorruptJob. Should it wait, its `position` may be known."""
        state, job = self._services.spool.find(job_id)
        if state is State.PROCESSING and self._services.spool.is_stalled(job_id):
            return self._read_again(job)
        return self._complete(job, state, position)

    def queue(self) -> QueueSnapshot:
        """What is known of the queue; raises IndexUnavailable."""
        counts = self._services.jobs.counts()
        eta = self._estimator.seconds_to_empty(counts.processing)
        return QueueSnapshot(counts=counts, paused=is_paused(self._services.layout), eta=eta)

    def _read_again(self, before: Job) -> JobSnapshot:
        """The lock was free: its runner is gone, or the job moved on between the two reads."""
        state, job = self._services.spool.find(before.id)
        found = self._complete(job, state)
        is_stalled = state is State.PROCESSING and job == before and self._services.spool.is_stalled(job.id)
        return replace(found, stalled=is_stalled, eta=None) if is_stalled else found

    def _complete(self, job: Job, state: State, position: int | None = None) -> JobSnapshot:
        if state is State.PENDING and position is None:
            position = self._position(job)
        images, warnings = self._images(job) if state is not State.PENDING or job.started_at else ([], [])
        found = JobSnapshot(
            job=job,
            state=state,
            progress=self._services.spool.progress(job) if state is State.PROCESSING else None,
            preview=self._services.spool.preview_version(job.id) if state is State.PROCESSING else None,
            images=images,
            paused=state is State.PENDING and is_paused(self._services.layout),
            position=position if state is State.PENDING else None,
            warnings=warnings,
        )
        return found if state.is_final or found.paused else replace(found, eta=self._estimator.seconds_left(found))

    def _position(self, job: Job) -> int | None:
        try:
            return self._services.jobs.position(job)
        except IndexUnavailable:
            return None

    def _images(self, job: Job) -> tuple[list[Sidecar], list[str]]:
        """The committed images in order, and a sentence for each that is damaged."""
        found, damaged = [], []
        for number in range(1, job.effective_settings.num_images + 1):
            try:
                found.append(self._services.store.sidecar(image_id(job.order, number)))
            except ImageNotFound:
                continue
            except DamagedImage as error:
                damaged.append(str(error))
        return found, damaged
