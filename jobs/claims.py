"""Claims: the exclusive right to work on a job, and what happens to jobs whose holder died.

A claim is the job's lock. The process that owns the device holds it for the whole job, and the kernel
frees it when that process ends, however it ends. So "stalled" means: in `processing/`, and the lock
can be taken. No clock is involved.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from core.errors import StorageUnavailable
from core.failpoints import failpoint
from core.locks import ExclusiveLock
from jobs.corrupt import keep_corrupt
from jobs.errors import CorruptJob, LostClaim, NewerJob
from jobs.ids import timestamp
from jobs.schema import ACTIVE_STATES, Job, JobError, Progress, State
from jobs.spool import Spool

#: After so many power cuts during one job they count as attempts: perhaps the job brings the host down.
MAX_POWER_CUTS: Final = 5


def boot_id() -> str:
    """The id of the running kernel's boot; tells a power cut from a crash of the worker."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"  # not None, which says that no attempt has begun


class Claim:
    """A claimed job. Made by `claim`; ended by exactly one of complete, fail, cancel and requeue."""

    def __init__(self, spool: Spool, job: Job, lock: ExclusiveLock) -> None:
        self.job = job
        self._spool = spool
        self._lock = lock

    def report(self, progress: Progress) -> None:
        """Publish progress (not synced)."""
        self._spool.write_progress(self.job.id, progress)

    def show(self, webp: bytes) -> None:
        """Publish a preview of the current image (not synced)."""
        self._spool.write_preview(self.job.id, webp)

    def cancel_requested(self) -> bool:
        """Whether somebody asked to cancel this job."""
        return self._spool.cancel_requested(self.job.id)

    def is_deleted(self, image_id: str) -> bool:
        """Whether somebody deleted this image of the job, so that it must not be drawn again."""
        return self._spool.tombstones.has(image_id)

    def warn(self, text: str) -> None:
        """Add a warning to the job's record, once."""
        if text not in self.job.warnings:
            self._evolve(warnings=[*self.job.warnings, text])

    def complete(self) -> None:
        """All images are committed."""
        self._finish(State.COMPLETED, None)

    def fail(self, error: JobError) -> None:
        """Give the job up."""
        self._finish(State.FAILED, error)

    def cancel(self) -> None:
        """Stop on request."""
        self._finish(State.CANCELLED, JobError(type="cancelled", message="Cancelled on request"))

    def requeue(self, *, refund_attempt: bool = False, wait: float = 0.0, error: JobError | None = None) -> None:
        """Back to `pending`, not to be claimed for `wait` seconds; the attempt may be returned."""
        self.check()
        attempts = max(0, self.job.attempts - 1) if refund_attempt else self.job.attempts
        not_before = time.time() + wait if wait else 0.0
        # Without a boot id, so that a power cut before the next attempt is not taken for one during this attempt.
        job = self.job.evolve(attempts=attempts, not_before=not_before, error=error or self.job.error, boot_id=None)
        self._spool.requeue(job, refund=refund_attempt)
        self._lock.release()

    def requeue_after_power_cut(self) -> None:
        """Back to `pending` with the attempt returned: the host went down, which is seldom the job's fault."""
        self.job = self.job.evolve(power_cuts=self.job.power_cuts + 1)
        self.requeue(refund_attempt=True)

    def check(self) -> None:
        """Raise LostClaim if the lock file was removed or replaced by hand: another holder may exist."""
        if not self._lock.is_intact():
            raise LostClaim(f"The lock file of job {self.job.id} was removed while it was held.")

    def abandon(self) -> None:
        """Let go without changing anything; recovery decides."""
        self._lock.release()

    def _evolve(self, **changes: Any) -> None:
        self.check()
        self.job = self.job.evolve(**changes)
        self._spool.rewrite(self.job, State.PROCESSING)

    def _finish(self, final: State, error: JobError | None) -> None:
        self.check()
        job = self.job.evolve(duration_seconds=_since(self.job.started_at))
        self.job = self._spool.finish(job, State.PROCESSING, final, error=error)
        self._lock.discard()


def _since(started_at: str | None) -> float | None:
    if started_at is None:
        return None
    started = datetime.fromisoformat(started_at).timestamp()
    return round(max(0.0, time.time() - started), 3)


def claim(spool: Spool, job_id: str, *, timeout: float = 1.0) -> Claim | None:
    """Claim a pending job and begin an attempt; None if it is gone, is held, or was cancelled meanwhile.

    The attempt is counted on disk when this returns; only then may the device be touched.

    A prober may hold the lock for an instant, hence the `timeout` (seconds).
    """
    lock = ExclusiveLock(spool.layout.lock(job_id))
    if not lock.acquire(timeout=timeout):
        return None
    try:
        failpoint("claim.locked")
        job = spool.read(State.PENDING, job_id)
        if _ended_while_pending(spool, job):
            lock.discard()
            return None
        job = _with_new_attempt(job)
        spool.begin(job)
    except FileNotFoundError:
        let_go(spool, lock, job_id)
        return None
    except NewerJob:
        lock.release()
        return None
    except CorruptJob as error:
        _keep_corrupt(spool, State.PENDING, job_id, error)
        let_go(spool, lock, job_id)
        return None
    except BaseException:
        lock.release()
        raise
    return Claim(spool, job, lock)


def _with_new_attempt(job: Job) -> Job:
    return job.evolve(
        attempts=job.attempts + 1,
        started_at=job.started_at or timestamp(),
        boot_id=boot_id(),
        not_before=0.0,
    )


def _ended_while_pending(spool: Spool, job: Job) -> bool:
    """Finish the cancellation of a pending job, if somebody began one and died, or asked while it was requeued."""
    if job.outcome is not None:
        spool.roll_forward(job, State.PENDING)
    elif spool.cancel_requested(job.id):
        spool.finish_cancelled(job, State.PENDING)
    else:
        return False
    return True


def recover(
    spool: Spool, job_id: str, *, max_attempts: int, waits: Sequence[float] = (), error: JobError | None = None
) -> State | None:
    """Bring a stalled job on: finish its move, give it up, or return it to `pending`.

    Answers the state it is in now, or None if it is not stalled (or gone). Idempotent, and safe to be
    killed in: each step leaves a state that the next recovery understands. `error` says why its holder
    died, where the caller knows. What can be no job is set aside; a job of a newer program is left alone.
    """
    lock = ExclusiveLock(spool.layout.lock(job_id))
    if not lock.acquire(timeout=0):
        return None
    try:
        failpoint("recover.locked")
        job = spool.read(State.PROCESSING, job_id)
        return _recover_held(Claim(spool, job, lock), spool, max_attempts, waits, error)
    except (FileNotFoundError, NewerJob):
        return None
    except CorruptJob as fault:
        _keep_corrupt(spool, State.PROCESSING, job_id, fault)
        return None
    finally:
        let_go(spool, lock, job_id)


def set_aside(spool: Spool, state: State, job_id: str) -> None:
    """Move what can be no job out of a state's directory, unless a living process holds it."""
    lock = ExclusiveLock(spool.layout.lock(job_id))
    if not lock.acquire():
        return
    try:
        spool.read(state, job_id)
    except (FileNotFoundError, NewerJob):
        return
    except CorruptJob as fault:
        _keep_corrupt(spool, state, job_id, fault)
    finally:
        let_go(spool, lock, job_id)


def _keep_corrupt(spool: Spool, state: State, job_id: str, fault: CorruptJob) -> None:
    with suppress(FileNotFoundError):  # somebody removed it meanwhile
        keep_corrupt(spool.layout, spool.path(state, job_id), str(fault))


def let_go(spool: Spool, lock: ExclusiveLock, job_id: str) -> None:
    """Release a lock, and remove its file if the job needs none any more."""
    if lock.is_intact() and not is_active(spool, job_id):
        lock.discard()
    else:
        lock.release()


def is_active(spool: Spool, job_id: str) -> bool:
    """Whether a job waits or is worked on."""
    return any(spool.holds(state, job_id) for state in (*ACTIVE_STATES, State.PENDING))


def _recover_held(
    claim_held: Claim, spool: Spool, max_attempts: int, waits: Sequence[float], error: JobError | None
) -> State:
    job = claim_held.job
    if job.outcome is not None:
        spool.roll_forward(job, State.PROCESSING)
        return State(job.outcome)
    if claim_held.cancel_requested():
        claim_held.cancel()
        return State.CANCELLED
    if job.boot_id not in (None, boot_id()) and job.power_cuts < MAX_POWER_CUTS:
        claim_held.requeue_after_power_cut()
        return State.PENDING
    return retry_or_fail(claim_held, max_attempts=max_attempts, waits=waits, error=error)


def retry_or_fail(
    held: Claim, *, max_attempts: int, waits: Sequence[float] = (), error: JobError | None = None
) -> State:
    """End an attempt that crashed: back to `pending` for another one after a wait, or `failed` after the last."""
    job = held.job
    error = error or job.error
    if job.attempts >= max_attempts:
        held.fail(_gave_up(job, error))
        return State.FAILED
    wait = waits[min(job.attempts, len(waits)) - 1] if waits and job.attempts else 0.0
    held.requeue(wait=wait, error=error)
    return State.PENDING


def _gave_up(job: Job, error: JobError | None) -> JobError:
    reason = error.message if error else "The runner died."
    return JobError(
        type=error.type if error else "runner_died", message=f"Given up after {job.attempts} attempts. {reason}"
    )


def recover_all(spool: Spool, *, max_attempts: int, waits: Sequence[float] = ()) -> int:
    """Recover every stalled job; returns how many went back to `pending`.

    A job that cannot be recovered now keeps no other from it; raises StorageUnavailable afterwards.
    """
    count, faults = 0, []
    for job_id in list(spool.ids(State.PROCESSING)):
        try:
            state = recover(spool, job_id, max_attempts=max_attempts, waits=waits)
        except OSError as error:
            faults.append(error)
        else:
            count += state is State.PENDING
    if faults:
        raise StorageUnavailable(
            f"{len(faults)} of the stalled jobs could not be recovered: {faults[0].strerror}. Try again later."
        )
    return count
