"""What comes in: drops are adopted, stalled jobs recovered, and the pending jobs kept in order."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from core.errors import DataDirectoryError
from core.locks import ExclusiveLock
from core.settings import Settings
from jobs.claims import recover
from jobs.drops.adopter import Adopter
from jobs.pause import is_paused
from jobs.pending import PendingJob, PendingQueue
from jobs.schema import JobError, State
from jobs.spool import Spool
from runner.watcher import Watcher

logger = logging.getLogger(__name__)


class JobSource:
    """The spool as the supervisor sees it."""

    def __init__(
        self, settings: Settings, spool: Spool, adopter: Adopter, locks: Collection[ExclusiveLock] = ()
    ) -> None:
        self.spool = spool
        self._settings = settings
        self._adopter = adopter
        #: The locks that say that this runner lives.
        self._locks = locks
        self._queue = PendingQueue(spool)
        #: Readable when there is something to poll; None where file events are switched off.
        self.watcher = Watcher([spool.layout.bell, spool.layout.incoming]) if settings.watch else None
        #: Whether the last scan failed, since the data directory is gone or refuses to be read.
        self.is_lost = False
        #: When the folder of the moved jobs last changed (ns since the epoch).
        self._turns_at = 0
        #: Jobs whose recovery the disk refused.
        self._unrecovered: set[str] = set()
        self._scan_at = 0.0
        self._adopt_at = 0.0
        #: An older job than those known may be in `pending`: look before the next job is chosen.
        self._is_dirty = True
        #: There are new jobs. They come after the known ones, so it is enough to look when those are used up.
        self._has_new = True

    def poll(self) -> None:
        """Take note of where files arrived."""
        rung = self.watcher.drain() if self.watcher is not None else ()
        if self.spool.layout.bell in rung:
            self._has_new = True
        if self.spool.layout.incoming in rung:
            self._adopt_at = 0.0

    def is_paused(self) -> bool:
        """Whether somebody asked that no job is begun."""
        return is_paused(self.spool.layout)

    def was_reordered(self) -> bool:
        """Whether jobs were moved since the last call; then the next ones are chosen anew. Raises OSError."""
        before, self._turns_at = self._turns_at, self.spool.layout.turns.stat().st_mtime_ns
        self._is_dirty = self._is_dirty or before != self._turns_at
        return before != self._turns_at

    def choose_again(self) -> None:
        """The jobs that were taken out and given to nobody take their turns again."""
        self._is_dirty = True

    def scan_if_due(self) -> None:
        """Look at everything every `scan_seconds`, and at the drops when an event came.

        Raises DataDirectoryError, OSError where the data directory cannot be used: see `lost`.
        """
        now = time.monotonic()
        if now >= self._scan_at:
            self._scan_at = now + self._settings.scan_seconds
            self._adopt_at = now
            self._is_dirty = True
            self.spool.restore()
            self._keep_locks()
            if self.watcher is not None:
                self.watcher.check()
            self._recover_all()
            self._found()
        if now >= self._adopt_at:
            self._adopt()

    def _keep_locks(self) -> None:
        """Take the locks again that went with a data directory that somebody removed and made again."""
        for lock in self._locks:
            if not lock.is_intact():
                lock.release()
                if not lock.acquire():
                    raise DataDirectoryError(f"Another runner works here by now: it holds {lock.path}.")

    def lost(self, error: Exception) -> None:
        """The data directory cannot be used now; said once. The scans go on, and find out when it is back."""
        if not self.is_lost:
            logger.error("No job is begun while the data directory cannot be used: %s", error)
        self.is_lost = self._is_dirty = True

    def _found(self) -> None:
        if self.is_lost:
            logger.info("The data directory can be used again; work goes on.")
        self.is_lost = False

    def seconds_to_scan(self) -> float:
        """Until `scan_if_due` has something to do."""
        return max(0.0, min(self._scan_at, self._adopt_at) - time.monotonic())

    def seconds_to_next_job(self) -> float:
        """Until a job that waits after a crash may run again; infinite if none waits."""
        wake = self._queue.next_wake()
        return float("inf") if wake is None else max(0.0, wake - time.time())

    def next_job(self, warm_models: Collection[str], taken: Collection[str] = ()) -> PendingJob | None:
        """The job to run now, taken out of the order; None if there is none.

        A job that is `taken` lies in `pending` until its worker has claimed it, but its turn has been.
        """
        # Only a new job within reach of the look-ahead could be chosen before the known ones.
        if self._is_dirty or (self._has_new and len(self._queue) <= self._settings.look_ahead):
            self._refresh()
        job = self._pop(warm_models, taken)
        if self._has_new and job is None:
            self._refresh()
            job = self._pop(warm_models, taken)
        return job

    def _pop(self, warm_models: Collection[str], taken: Collection[str]) -> PendingJob | None:
        while (job := self._queue.pop(warm_models, self._settings.look_ahead)) is not None and job.id in taken:
            pass
        return job

    def _refresh(self) -> None:
        """Listing costs as much as there are jobs, so it is not done for every job."""
        self._is_dirty = self._has_new = False
        self._queue.refresh()

    def job_left(self, job_id: str) -> None:
        """The worker is done with a job, which may have gone back to `pending`."""
        try:
            self._is_dirty = self._is_dirty or self.spool.holds(State.PENDING, job_id)
        except OSError:  # the next scan says what is wrong
            self._is_dirty = True

    def recover(self, job_id: str, error: JobError) -> None:
        """Recover a job whose worker died, and say in it why."""
        self._recover(job_id, error)
        self._is_dirty = True

    def close(self) -> None:
        """End watching."""
        if self.watcher is not None:
            self.watcher.close()

    def _adopt(self) -> None:
        result = self._adopter.scan()
        wait = self._settings.scan_seconds if result.next_check is None else result.next_check
        self._adopt_at = time.monotonic() + wait
        if result.adopted:
            self._has_new = True

    def _recover_all(self) -> None:
        for job_id in list(self.spool.ids(State.PROCESSING)):
            self._recover(job_id, None)

    def _recover(self, job_id: str, error: JobError | None) -> None:
        try:
            state = recover(
                self.spool,
                job_id,
                max_attempts=self._settings.max_attempts,
                waits=self._settings.retry_delays,
                error=error,
            )
        except OSError as fault:
            if job_id not in self._unrecovered:  # said once, tried at every scan
                logger.error("A job could not be recovered; every scan tries again: %s", fault)
            self._unrecovered.add(job_id)
        else:
            self._unrecovered.discard(job_id)
            if state is not None:
                logger.warning("A stalled job was recovered.", extra={"job_id": job_id, "state": state.value})
