"""Looking at a job: collects from spool, store and index what `job_view` shows."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec.structs import replace

from http_api.estimate import Estimator
from http_api.job_view import Look
from http_api.parts import Parts
from jobs.errors import IndexUnavailable
from jobs.ids import image_id
from jobs.schema import Job, State
from outputs.errors import DamagedImage, ImageNotFound
from outputs.sidecar import Sidecar


class Looker:
    """Looks at jobs. Costs a few file reads; the index is asked for jobs that wait only, and may be missing."""

    def __init__(self, parts: Parts, now: Callable[[], float] = time.time) -> None:
        self._parts = parts
        self._estimator = Estimator(parts, now)

    def look(self, job_id: str) -> Look:
        """Everything about a job; raises JobNotFound, CorruptJob."""
        state, job = self._parts.spool.find(job_id)
        if state is State.PROCESSING and self._parts.spool.is_stalled(job_id):
            return self._look_again(job)
        return self._complete(job, state)

    def _look_again(self, before: Job) -> Look:
        """The lock was free: its runner is gone, or the job moved on between our two looks."""
        state, job = self._parts.spool.find(before.id)
        look = self._complete(job, state)
        is_stalled = state is State.PROCESSING and job == before and self._parts.spool.is_stalled(job.id)
        return replace(look, stalled=is_stalled, eta=None) if is_stalled else look

    def _complete(self, job: Job, state: State) -> Look:
        # A job that never started has no images to look for. Its attempts do not tell: an interrupted one is returned.
        images, warnings = self._images(job) if state is not State.PENDING or job.started_at is not None else ([], [])
        look = Look(
            job=job,
            state=state,
            progress=self._parts.spool.progress(job) if state is State.PROCESSING else None,
            preview=self._parts.spool.preview_version(job.id) if state is State.PROCESSING else None,
            images=images,
            position=self._position(job) if state is State.PENDING else None,
            warnings=warnings,
        )
        return look if state.is_final else replace(look, eta=self._estimator.seconds_left(look))

    def _position(self, job: Job) -> int | None:
        try:
            return self._parts.jobs.position(job)
        except IndexUnavailable:
            return None

    def _images(self, job: Job) -> tuple[list[Sidecar], list[str]]:
        """The committed images in order, and a sentence for each that is damaged."""
        found, damaged = [], []
        for number in range(1, job.effective_settings.num_images + 1):
            try:
                found.append(self._parts.store.sidecar(image_id(job.order, number)))
            except ImageNotFound:
                continue
            except DamagedImage as error:
                damaged.append(str(error))
        return found, damaged
