"""The jobs that run or wait, as pages show them: their order, and each of them whenever it changes."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from jobs.errors import CorruptJob, JobNotFound, NewerJob
from jobs.ids import order_at
from jobs.schema import State
from service.services import Services
from service.snapshot import JobSnapshot, QueueSnapshot
from service.snapshot_reader import SnapshotReader
from service.watch import files_of, stamp

#: Jobs that are listed, and told of one by one.
MOST_LISTED: Final = 200
#: Waiting jobs that are told of again when their turns come nearer.
_NEAR: Final = 5
#: Seconds after which everything is read though no file changed: a runner may be gone, an index was repaired.
_READ_ANYWAY: Final = 2.0
#: How much later a job may be noted in the index than one with a later order, in seconds.
_LATE_SECONDS: Final = 5.0


class JobOrder(NamedTuple):
    """The active jobs in their real order: those that run, then those that wait; and how many are not listed."""

    ids: Sequence[str]
    more: int


class ActiveJobs:
    """What is known of the active jobs. Each `look` reads only what changed since the one before."""

    def __init__(self, services: Services, reader: SnapshotReader) -> None:
        self._services = services
        self._reader = reader
        self.begin()

    def begin(self) -> None:
        """Forget everything: the next look tells the whole present state."""
        #: The listed jobs that were told of, as they were then.
        self._known: dict[str, JobSnapshot] = {}
        self._files: dict[str, tuple[int, ...]] = {}
        self._read_job_at: dict[str, float] = {}
        self._order = JobOrder((), 0)
        self._running = 0
        self._queue_files: tuple[int, ...] = ()
        self._is_settled = False
        self._read_at = float("-inf")
        #: Jobs with later orders may have come and ended unseen, but for those that are named.
        self._unseen_since: str | None = None
        self._ended: set[str] = set()
        #: What was found by a look that then failed.
        self._untold: list[JobOrder | JobSnapshot | QueueSnapshot] = []

    @property
    def listed(self) -> Sequence[str]:
        """The ids of the active jobs, as of the last look."""
        return self._order.ids

    def look(self) -> list[JobOrder | JobSnapshot | QueueSnapshot]:
        """What has changed. Raises IndexUnavailable, OSError; then the next look tells what this one did not."""
        files = self._files_of_queue()
        is_late = time.monotonic() - self._read_at > _READ_ANYWAY
        # Once more after a change, since the index may follow a little later.
        if files != self._queue_files or not self._is_settled or is_late:
            self._read_queue()
            self._is_settled, self._queue_files, self._read_at = files == self._queue_files, files, time.monotonic()
        else:
            self._read_jobs(near=0)
        told, self._untold = self._untold, []
        return told

    def _files_of_queue(self) -> tuple[int, ...]:
        """What would differ if a job had come, gone or been moved."""
        layout = self._services.layout
        paths = (layout.state(State.PENDING), layout.state(State.PROCESSING), layout.turns, layout.paused)
        return tuple(stamp(path) for path in paths)

    def _read_queue(self) -> None:
        queue = self._reader.queue()
        running, waiting = self._services.jobs.active(MOST_LISTED)
        ids = [*running, *waiting][:MOST_LISTED]
        self._running = len(running)
        self._order = JobOrder(ids, max(0, queue.counts.pending + queue.counts.processing - len(ids)))
        self._untold += [queue, self._order]
        self._read_jobs(near=len(running) + _NEAR)
        listed = set(ids)
        self._read_ended([job_id for job_id in self._known if job_id not in listed])
        self._read_unseen(listed)

    # --- The listed jobs ----------------------------------------------------------------------

    def _read_jobs(self, near: int) -> None:
        """The listed jobs that are new, those that run and whose files changed, and the first `near` ones."""
        for place, job_id in enumerate(self._order.ids):
            known = self._known.get(job_id)
            if known is None or place < near or (known.state is State.PROCESSING and self._has_news(known)):
                found = self._read(job_id, place)
                if found is not None and found != known:
                    self._known[job_id] = found
                    self._untold.append(found)

    def _has_news(self, known: JobSnapshot) -> bool:
        """Whether files of a running job changed, or it was not read for long."""
        job_id, files = known.job.id, files_of(self._services.layout, known)
        is_late = time.monotonic() - self._read_job_at.get(job_id, 0.0) > _READ_ANYWAY
        before, self._files[job_id] = self._files.get(job_id), files
        return is_late or files != before

    def _read(self, job_id: str, place: int) -> JobSnapshot | None:
        self._read_job_at[job_id] = time.monotonic()
        with suppress(JobNotFound, CorruptJob, NewerJob):
            return self._reader.read(job_id, position=max(0, place - self._running))
        return None

    # --- The jobs that have ended -------------------------------------------------------------

    def _read_ended(self, job_ids: Sequence[str]) -> None:
        """Tell of those of these jobs that have ended, for the last time, and forget all of them."""
        for job_id in job_ids:
            found = self._read(job_id, 0)
            if found is not None and found.state.is_final and job_id not in self._ended:
                self._ended.add(job_id)
                self._untold.append(found)
            self._known.pop(job_id, None)
            self._files.pop(job_id, None)
            self._read_job_at.pop(job_id, None)

    def _read_unseen(self, listed: Collection[str]) -> None:
        """Tell of jobs that came and ended between two looks."""
        since = order_at(time.time() - _LATE_SECONDS)
        ids = self._services.jobs.ended_since(self._unseen_since or since)
        if self._unseen_since is None:
            self._ended.update(ids)
        self._read_ended([job_id for job_id in ids if job_id not in self._ended and job_id not in listed])
        self._ended.intersection_update(ids)
        self._unseen_since = since
