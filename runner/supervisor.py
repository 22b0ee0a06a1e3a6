"""The supervisor: watches the spool, keeps the order, and gives the jobs to the workers of its slots.

It never imports torch, knows no engine, and never holds a job's lock, so nothing that goes wrong with a model
or a device can take it along. One loop in one thread; it sleeps until a file event, a word of a worker, a signal
or the next scan, and waits for no process.
"""

from __future__ import annotations

import logging
import selectors
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from core.errors import DataDirectoryError
from jobs.pending import PendingJob
from jobs.schema import JobError
from runner.job_source import JobSource
from runner.orphan import Orphans
from runner.slot_state import Happening, JobEnded, SlotState, WorkerDied, WorkerLeft
from runner.status_board import StatusBoard
from runner.wake import WakePipe
from runner.worker_slot import WorkerSlot

logger = logging.getLogger(__name__)

#: After a full disk: how long no job is begun at least, in seconds.
_FULL_DISK_PAUSE: Final = 1.0
#: How often it is looked again whether a job that is held back may begin, in seconds.
_HELD_BACK_LOOK: Final = 0.25
#: How long the end waits for a killed worker that the kernel keeps; the next runner finds it by the status file.
_LEAVE_BEHIND_SECONDS: Final = 10.0
#: How often it is looked at the end whether killed workers are gone, in seconds.
_KILLED_LOOK: Final = 0.01
_LOST: Final = "The data directory is gone or cannot be used: no job is begun until it is back."
_ON_REQUEST: Final = "The queue is paused: no job is begun until somebody resumes it."
_FULL: Final = "The disk is nearly full: no job is begun until there is room again."


class Supervisor:
    """The loop over the slots. `stop_requests` returns how often the program was asked to end."""

    def __init__(
        self,
        slots: Sequence[WorkerSlot],
        source: JobSource,
        board: StatusBoard,
        strays: Orphans,
        wake: WakePipe,
        selector: selectors.BaseSelector,
        stop_requests: Callable[[], int],
    ) -> None:
        self._slots = slots
        self._source = source
        self._board = board
        self._strays = strays
        self._wake = wake
        self._selector = selector
        self._stop_requests = stop_requests
        #: Jobs whose turn it is, oldest first, while no worker is free: at most one for each worker to be.
        self._next_jobs: deque[PendingJob] = deque()
        self._paused_until = 0.0
        self._pause: str | None = None
        #: When a killed worker is left behind, once the program must end.
        self._leave_at = float("inf")

    def run(self) -> str | None:
        """Work until asked to end; then the workers are gone and their jobs are back in `pending`.

        Also ends, and returns why, where no worker can work with these settings.
        """
        self._selector.register(self._wake, selectors.EVENT_READ)
        if self._source.watcher is not None:
            self._selector.register(self._source.watcher, selectors.EVENT_READ)
        logger.info("The runner has started.", extra={"data": self._source.spool.layout.data})
        try:
            while not self._is_done():
                self._turn()
        finally:
            self._kill_what_is_left()
            self._board.show_stopped(self._refusal())
            self._source.close()
            self._selector.close()
        logger.info("The runner has stopped.")
        return self._refusal()

    def _turn(self) -> None:
        """Sleep until something happens, then do whatever is due."""
        self._board.show(self._pause)
        self._selector.select(self._sleep_seconds())
        self._wake.drain()
        self._source.poll()
        self._poll_slots()
        self._use_data(self._source.scan_if_due)
        self._strays.check()
        if self._must_end():
            self._end_slots()
        elif not self._source.is_lost:
            self._use_data(self._dispatch)
        self._show_whether_data_is_lost()
        for slot in self._slots:
            if not self._next_jobs:
                slot.let_go_if_idle()
            slot.check_silence()

    def _refusal(self) -> str | None:
        """Why no slot can work; None while one can."""
        refusals = [slot.refusal for slot in self._slots]
        return " ".join(dict.fromkeys(filter(None, refusals))) if all(refusals) else None

    def _must_end(self) -> bool:
        return self._stop_requests() > 0 or self._refusal() is not None

    def _is_done(self) -> bool:
        if not self._must_end():
            return False
        return not self._alive() or time.monotonic() >= self._leave_at

    def _sleep_seconds(self) -> float:
        """Until the next thing that is due by the clock."""
        due = [self._source.seconds_to_scan(), self._board.seconds_to_show(), self._strays.seconds_until_due()]
        due += [slot.seconds_until_due() for slot in self._slots]
        due.append(max(0.0, self._leave_at - time.monotonic()) if self._must_end() else self._seconds_to_dispatch())
        return min(due)

    # --- The data directory -------------------------------------------------------------------

    def _use_data(self, step: Callable[[], None]) -> None:
        """Do what needs the data directory; a volume may be unmounted, removed or shut down at any time."""
        try:
            step()
        except (OSError, DataDirectoryError) as error:
            self._source.lost(error)

    def _show_whether_data_is_lost(self) -> None:
        if self._source.is_lost:
            self._pause = _LOST
        elif self._pause == _LOST:
            self._pause = None

    # --- Work ---------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Give the jobs whose turn it is to workers that wait; start workers where there are too few."""
        is_paused = self._is_paused()
        if self._source.was_reordered() or is_paused:
            self._put_back()
        if is_paused:
            return
        self._fetch()
        if not self._next_jobs or self._is_held_back():
            return
        idle = self._in_state(SlotState.IDLE)
        turn = [self._next_jobs.popleft() for _ in range(min(len(idle), len(self._next_jobs)))]
        # Whoever has a model warm comes first, so that no other job takes that worker.
        for job in sorted(turn, key=lambda job: not any(_is_warm(slot, job) for slot in idle)):
            slot = max(idle, key=lambda slot: _is_warm(slot, job))
            idle.remove(slot)
            slot.assign(job.id)
        wanted = len(self._next_jobs) - len(self._in_state(SlotState.STARTING))
        for slot in [slot for slot in self._slots if slot.is_startable and not slot.backoff.remaining()][:wanted]:
            slot.start()

    def _is_paused(self) -> bool:
        """Whether no job may be begun now, since somebody asked for it."""
        is_paused = self._source.is_paused()
        if is_paused:
            self._pause = _ON_REQUEST
        elif self._pause == _ON_REQUEST:
            self._pause = None
        return is_paused

    def _put_back(self) -> None:
        """Give the jobs that no worker has back to the order, which may be another one by now."""
        if self._next_jobs:
            self._next_jobs.clear()
            self._source.choose_again()

    def _fetch(self) -> None:
        """Take the next jobs out of the order, as many as there are workers for them, now or soon."""
        taken = {job.id for job in self._next_jobs} | {slot.facts.job_id or "" for slot in self._slots}
        idle = self._in_state(SlotState.IDLE)
        warm = {model for slot in idle for model in slot.facts.loaded_models}
        while len(self._next_jobs) < self._open_slots():
            job = self._source.next_job(warm, taken)
            if job is None:
                return
            taken.add(job.id)
            self._next_jobs.append(job)

    def _in_state(self, state: SlotState) -> list[WorkerSlot]:
        return [slot for slot in self._slots if slot.state is state]

    def _alive(self) -> list[WorkerSlot]:
        return [slot for slot in self._slots if slot.state is not SlotState.ABSENT]

    def _open_slots(self) -> int:
        """How many slots take a job now or soon."""
        waiting = (SlotState.IDLE, SlotState.STARTING)
        return sum(slot.state in waiting or slot.is_startable for slot in self._slots)

    def _is_held_back(self) -> bool:
        """Whether no job may be begun now, since the disk is nearly full."""
        is_full = time.monotonic() < self._paused_until or not self._source.spool.has_disk_space()
        self._pause = _FULL if is_full else None
        return is_full

    def _seconds_to_dispatch(self) -> float:
        """Until `_dispatch` has something to do although nobody says anything."""
        if self._pause == _ON_REQUEST:
            return float("inf")  # the doorbell rings when it is over, and every scan looks
        if not self._next_jobs:
            return self._source.seconds_to_next_job() if self._open_slots() else float("inf")
        if self._pause:
            return max(self._paused_until - time.monotonic(), _HELD_BACK_LOOK)
        if len(self._next_jobs) <= len(self._in_state(SlotState.STARTING)):
            return float("inf")
        waits = [slot.backoff.remaining() for slot in self._slots if slot.is_startable]
        return max(min(waits, default=float("inf")), _HELD_BACK_LOOK)

    # --- The workers --------------------------------------------------------------------------

    def _poll_slots(self) -> None:
        for slot in self._slots:
            for happening in slot.poll():
                self._take(happening)

    def _take(self, happening: Happening) -> None:
        match happening:
            case JobEnded(job_id, outcome):
                logger.info("A job has ended.", extra={"job_id": job_id, "outcome": outcome})
                self._source.job_left(job_id)
                if outcome == "storage_full":
                    self._paused_until = time.monotonic() + _FULL_DISK_PAUSE
            case WorkerLeft(str(job_id)):
                self._source.job_left(job_id)
            case WorkerDied(str(job_id), reason):
                self._source.recover(job_id, JobError(type="runner_died", message=reason))
            case _:
                pass  # a worker without a job

    # --- The end ------------------------------------------------------------------------------

    def _end_slots(self) -> None:
        """Ask the workers to end; kill those that take too long, or all if somebody asks again."""
        for slot in self._slots:
            slot.request_exit(must_stop=True)
            if self._stop_requests() > 1:
                slot.kill("The worker did not stop in time and was killed.")
        alive = self._alive()
        if alive and all(slot.state is SlotState.KILLED for slot in alive) and self._leave_at == float("inf"):
            self._leave_at = time.monotonic() + _LEAVE_BEHIND_SECONDS

    def _kill_what_is_left(self) -> None:
        """Leave no worker behind where the loop itself failed; only the kernel can keep one."""
        for slot in self._slots:
            slot.kill("The runner ended.")
        deadline = min(self._leave_at, time.monotonic() + _LEAVE_BEHIND_SECONDS)
        while self._alive() and time.monotonic() < deadline:
            time.sleep(_KILLED_LOOK)
            self._poll_slots()
        for slot in self._alive():
            logger.error("A killed worker does not end and is left behind.", extra={"device": slot.device})


def _is_warm(slot: WorkerSlot, job: PendingJob) -> bool:
    return job.model in slot.facts.loaded_models
