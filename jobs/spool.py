"""The spool: every change of a job's state.

A job is one JSON file; the directory it lies in is its status. A change of status is one rename, made
by whoever holds the job's lock. `docs/spool.md` states the contract for people who read or drop files.

    incoming --adopt--> pending --claim--> processing --finish--> completed | failed | cancelled
                           ^                   |
                           +--- recover, requeue
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from core import data_directory, files, locks, one_file_system
from core.errors import StorageUnavailable
from core.failpoints import failpoint
from core.layout import Layout
from jobs.capacity import Capacity
from jobs.errors import DuplicateJob, JobBusy
from jobs.ids import OrderClock, timestamp
from jobs.job_format import encode_over
from jobs.latest_order import latest_order
from jobs.observer import Observer
from jobs.schema import ACTIVE_STATES, Job, JobError, Progress, State, encode
from jobs.spool_reader import SpoolReader
from jobs.tombstones import Tombstones

#: How long to wait for the lock of an id that somebody chose, in seconds, by the source of the job. Requests: longer
#: than a busy disk takes to store a job, and so short that they do not pile up behind a process that was stopped.
#: Dropped files: they can be tried again, and the runner waits with them.
LOCK_SECONDS: Final = {"http": 2.0, "file": 0.05}


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Raise StorageUnavailable where the disk refuses to store a job."""
    try:
        yield
    except OSError as error:
        if not files.is_storage_error(error) and not files.is_out_of_reach(error):
            raise
        raise StorageUnavailable(f"The job was not accepted: {error.strerror}.") from error


class Spool(SpoolReader):
    """The spool of one data directory. Holds no open files: safe to use from any thread and process."""

    def __init__(
        self,
        layout: Layout,
        *,
        max_pending: int = 10_000,
        reserve_bytes: int = 0,
        observer: Observer | None = None,
    ) -> None:
        super().__init__(layout)
        self.clock = OrderClock(layout.order)
        self.tombstones = Tombstones(layout.deleted, layout.temporary)
        self.capacity = Capacity(
            Path(layout.state(State.PENDING)), max_pending=max_pending, reserve_bytes=reserve_bytes
        )
        self._observer = observer

    # --- The data directory -------------------------------------------------------------------

    def prepare(self, *, create_anyway: bool = False) -> None:
        """Make the directories that are missing, and check that all can be used.

        Raises DataDirectoryError: see `data_directory.prepare`.
        """
        folders = self._folders()
        try:
            data_directory.prepare(self.layout, folders, create_anyway=create_anyway)
            one_file_system.check(self.layout, self.layout.folders(tuple(State)))
            living = [self.path(state, job_id) for state in ACTIVE_STATES for job_id in self.ids(state)]
            data_directory.check_access(self.layout, folders, living)
            self._restore_clock()
        except OSError as error:
            raise data_directory.unusable(self.layout, error) from error

    def restore(self) -> None:
        """Make folders again that were removed; costs a few `stat` calls. Raises DataDirectoryError, OSError."""
        data_directory.restore(self.layout, self._folders())

    def _folders(self) -> list[Path]:
        return [*self.layout.folders(tuple(State)), *self.layout.disposable_folders()]

    def _restore_clock(self) -> None:
        """Make new orders sort after all that are known: a power cut may have set the unsynced counter back."""
        latest = latest_order([self.layout.state(state) for state in State], self.clock)
        if latest is not None:
            self.clock.never_before(latest)

    # --- Submitting ---------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Store a new pending job durably; its id must be one that nobody else can choose (its order).

        Raises QueueFull, StorageUnavailable; then nothing is stored.
        """
        self.check_capacity()
        failpoint("submit.begin")
        self._store_pending(job, files.create_unique)
        self._changed(job, State.PENDING)
        self.ring()

    def submit_named(self, job: Job) -> None:
        """Store a new pending job whose id somebody chose; raises DuplicateJob if it is or was in use.

        Raises JobBusy if another process has held the id's lock for LOCK_SECONDS: whether there will be a job
        with this id is then not known. Else raises as `submit`.
        """
        if self.exists(job.id):
            raise DuplicateJob(job.id)
        self.check_capacity()
        lock = locks.ExclusiveLock(self.layout.lock(job.id))
        with _storage_errors():
            is_ours = lock.acquire(LOCK_SECONDS[job.source])
        if not is_ours:
            raise JobBusy(job.id)
        try:
            if self.exists(job.id):
                raise DuplicateJob(job.id)
            self._store_pending(job, files.create)
        finally:
            lock.release()
        self._changed(job, State.PENDING)
        self.ring()

    def check_capacity(self) -> None:
        """Raise QueueFull or StorageUnavailable if no further job can be taken now."""
        self.capacity.check()

    def has_disk_space(self) -> bool:
        """Whether more free space is left than the reserve."""
        return self.capacity.has_space()

    def pending_count(self) -> int:
        """How many jobs are pending; what other processes did may be a second late."""
        return self.capacity.pending_count()

    def ring(self) -> None:
        """Ring the doorbell of the runner. Only a hint: the runner scans anyway."""
        files.ring(self.layout.doorbell)

    def _store_pending(self, job: Job, create: Callable[..., None]) -> None:
        with _storage_errors():
            try:
                create(self._file(State.PENDING, job.id), encode(job), self.layout.temporary, name="submit")
            except FileExistsError as error:
                raise DuplicateJob(job.id) from error
        self.capacity.taken()

    # --- Cancelling ---------------------------------------------------------------------------

    def cancel(self, job_id: str) -> State:
        """Cancel a job: at once if it waits, at its next step if it runs. Answers the state found.

        Idempotent; a finished job stays as it is. Raises JobNotFound.
        """
        state, _ = self.find(job_id)
        if state.is_final:
            return state
        files.replace(self.layout.cancel_request(job_id), b"", self.layout.temporary, name="cancel")
        lock = locks.ExclusiveLock(self.layout.lock(job_id))
        if lock.acquire():
            try:
                self._cancel_idle(job_id)
            except BaseException:
                lock.release()
                raise
            lock.discard()
        self.ring()
        return self.find(job_id)[0]

    def cancel_requested(self, job_id: str) -> bool:
        """Whether somebody asked to cancel this job."""
        return self.layout.cancel_request(job_id).exists()

    def _cancel_idle(self, job_id: str) -> None:
        state, job = self.find(job_id)
        if state.is_final:  # it ended before the request was written
            self.forget(job_id)
        else:
            self.finish_cancelled(job, state)

    # --- Transitions; the caller holds the job's lock -----------------------------------------

    def begin(self, job: Job) -> None:
        """Write a pending job's new attempt into its file, then move that to `processing`.

        In this order, nobody ever sees a job in `processing` of which the attempt is not counted. If this process
        dies between the two steps, the attempt was not begun: see `SpoolReader.read`.
        """
        self._rewrite(job, State.PENDING, name="attempt")
        self.to_processing(job)

    def to_processing(self, job: Job) -> None:
        """Move a pending job to `processing`."""
        self._move(job, State.PENDING, State.PROCESSING, name="claim")

    def rewrite(self, job: Job, state: State) -> None:
        """Replace a job's file where it is."""
        self._rewrite(job, state, name="rewrite")
        self._changed(job, state)

    def requeue(self, job: Job, *, refund: bool = False) -> None:
        """Return a processing job to `pending`; with `refund` its attempt was taken off the count in `job`.

        Then the file moves first: in `processing` it would not count the attempt that is still visible there, and in
        `pending`, until it is rewritten, it reads as if the attempt had never begun.
        """
        if refund:
            self._move(job, State.PROCESSING, State.PENDING, name="requeue.move")
            self._rewrite(job, State.PENDING, name="requeued")
        else:
            self._rewrite(job, State.PROCESSING, name="requeued")
            self._move(job, State.PROCESSING, State.PENDING, name="requeue.move")
        self.layout.preview_of(job.id).unlink(missing_ok=True)

    def finish_cancelled(self, job: Job, state: State) -> Job:
        """Cancel a job that nobody works on."""
        error = JobError(type="cancelled", message="Cancelled on request")
        return self.finish(job, state, State.CANCELLED, error=error)

    def finish(self, job: Job, state: State, final: State, *, error: JobError | None = None) -> Job:
        """Write the outcome into the job's file, then move it to its final directory."""
        done = job.evolve(outcome=final.value, error=error, completed_at=timestamp())
        self._rewrite(done, state, name="final")
        return self.roll_forward(done, state)

    def roll_forward(self, job: Job, state: State) -> Job:
        """Finish the move of a job whose outcome is written."""
        if job.outcome is None:
            raise ValueError(f"job {job.id} has no outcome")
        final = State(job.outcome)
        self._move(job, state, final, name="final.move")
        self.forget(job.id)
        return job

    def write_progress(self, job_id: str, progress: Progress) -> None:
        """Replace the progress of a processing job; not synced."""
        files.replace(
            self.layout.progress_of(job_id),
            msgspec.json.encode(progress),
            self.layout.temporary,
            durable=False,
            name="progress",
        )

    def write_preview(self, job_id: str, webp: bytes) -> None:
        """Replace the preview of a processing job; not synced."""
        files.replace(self.layout.preview_of(job_id), webp, self.layout.temporary, durable=False, name="preview")

    def forget(self, job_id: str) -> None:
        """Remove what only a living job needs: progress, preview, turn, tombstones, and the request to cancel it."""
        for path in (
            self.layout.progress_of(job_id),
            self.layout.preview_of(job_id),
            self.layout.cancel_request(job_id),
        ):
            path.unlink(missing_ok=True)
        self.turns.remove(job_id)
        self.tombstones.remove(job_id)

    def _rewrite(self, job: Job, state: State, *, name: str) -> None:
        """Replace a job's file; what a newer program wrote into it stays.

        Raises FileNotFoundError where it is not there any more, rather than make a job that is in two states.
        """
        path = self.path(state, job.id)
        try:
            content = encode_over(files.read(path), job)
        except files.NotRegularFile:  # replaced by hand while it was worked on
            content = encode(job)
        files.replace(path, content, self.layout.temporary, name=name)

    def _move(self, job: Job, source: State, target: State, *, name: str) -> None:
        if self._observer is not None:
            self._observer.job_moving(job, target)
        try:
            files.move(self.path(source, job.id), self.path(target, job.id), name=name)
        except OSError:
            self._changed(job, source)
            raise
        if self._observer is not None:
            self._observer.job_moved(job, target)

    def _changed(self, job: Job, state: State) -> None:
        if self._observer is not None:
            self._observer.job_changed(job, state)
