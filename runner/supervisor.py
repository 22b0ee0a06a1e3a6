"""The supervisor: watches the spool, keeps the order, starts, feeds, watches and ends the worker.

It never imports torch and never holds a job's lock, so nothing that goes wrong with a model or a device
can take it along. One loop in one thread; it sleeps until a file event, a word of the worker, a signal
or the next scan.
"""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable, Sequence
from typing import Final

from core.settings import Settings
from jobs.runner_status import RunnerState
from jobs.schema import JobError
from runner.crash_backoff import CrashBackoff
from runner.job_source import JobSource
from runner.messages import Ended, Event, Exiting, Loaded, Ready, Run, Stop
from runner.orphan import Orphan
from runner.status_board import StatusBoard
from runner.wake import WakePipe
from runner.worker_process import WORKER_COMMAND, WorkerProcess, describe_exit

logger = logging.getLogger(__name__)

#: What a stopping worker gets beyond its step, in seconds.
STOP_SECONDS: Final = 5.0
#: After a full disk: how long no job is begun at least, in seconds.
_FULL_DISK_PAUSE: Final = 1.0


class Supervisor:
    """The loop. `stop_requests` answers how often the program was asked to end."""

    def __init__(
        self,
        settings: Settings,
        source: JobSource,
        board: StatusBoard,
        wake: WakePipe,
        stop_requests: Callable[[], int],
        worker_command: Sequence[str] = WORKER_COMMAND,
    ) -> None:
        self._settings = settings
        self._source = source
        self._board = board
        self._wake = wake
        self._stop_requests = stop_requests
        self._worker_command = worker_command
        self._worker: WorkerProcess | None = None
        self._selector = selectors.DefaultSelector()
        self._backoff = CrashBackoff()
        self._orphan = Orphan(board.last_words(), settings.stall_seconds)
        self._next_job: str | None = None
        self._is_ready = False
        self._is_exiting = False
        self._kill_reason: str | None = None
        self._idle_since = time.monotonic()
        self._stop_deadline: float | None = None
        self._paused_until = 0.0
        #: Why no worker can work with these settings, as a worker has found out.
        self._refusal: str | None = None

    def run(self) -> str | None:
        """Work until asked to end; then the worker is gone and its job is back in `pending`.

        Also ends, and answers why, where no worker can work with these settings.
        """
        self._selector.register(self._wake, selectors.EVENT_READ)
        if self._source.watcher is not None:
            self._selector.register(self._source.watcher, selectors.EVENT_READ)
        logger.info("The runner has started.", extra={"data": self._source.spool.layout.data})
        try:
            while not self._is_done():
                self._turn()
        finally:
            self._end_worker_now()
            self._board.stopped(self._refusal)
            self._source.close()
            self._selector.close()
        logger.info("The runner has stopped.")
        return self._refusal

    def _turn(self) -> None:
        """Sleep until something happens, then do whatever is due."""
        self._board.write()
        self._selector.select(self._sleep_seconds())
        self._wake.drain()
        self._source.poll()
        self._poll_worker()
        self._source.scan_if_due()
        self._orphan.check()
        if self._must_end():
            self._stop_worker()
        else:
            self._dispatch()
            self._let_idle_worker_go()
        self._check_silence()

    def _must_end(self) -> bool:
        return self._stop_requests() > 0 or self._refusal is not None

    def _is_done(self) -> bool:
        return self._must_end() and self._worker is None

    def _sleep_seconds(self) -> float:
        """Until the next thing that is due by the clock."""
        due = [self._source.seconds_to_scan(), self._board.seconds_to_write()]
        if self._worker is not None and self._kill_reason is None:
            due.append(max(0.0, self._silence_timeout() - self._worker.silent_seconds()))
        if self._worker is not None and self._is_idle():
            due.append(max(0.0, self._idle_since + self._settings.idle_seconds - time.monotonic()))
        if self._stop_deadline is not None:
            due.append(max(0.0, self._stop_deadline - time.monotonic()))
        elif self._can_dispatch():
            due.append(self._source.seconds_to_next_job() if self._next_job is None else self._held_back_seconds())
        return min(due)

    def _held_back_seconds(self) -> float:
        """Until it makes sense to look again whether a job that is held back may begin."""
        return max(self._backoff.remaining(), self._paused_until - time.monotonic(), 0.25)

    # --- Work ---------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Give the next job to the worker; start one if there is none."""
        if not self._can_dispatch():
            return
        if self._next_job is None:
            self._next_job = self._source.next_job(self._board.loaded_models)
        if self._next_job is None or self._is_held_back():
            return
        if self._worker is None:
            self._start_worker()
            return
        self._worker.send(Run(self._next_job))
        self._board.dispatched(self._next_job)
        self._next_job = None

    def _can_dispatch(self) -> bool:
        return self._worker is None or (self._is_ready and self._is_idle())

    def _is_held_back(self) -> bool:
        """Whether no job may be begun now: the disk is nearly full, or workers keep crashing."""
        if time.monotonic() < self._paused_until or not self._source.spool.has_disk_space():
            self._board.pause("The disk is nearly full: no job is begun until there is room again.")
            return True
        if self._worker is None and self._backoff.remaining():
            self._board.pause("The worker has crashed repeatedly; it is started again after a pause.")
            return True
        self._board.resume()
        return False

    def _is_idle(self) -> bool:
        return self._board.job_id is None and not self._is_exiting

    def _let_idle_worker_go(self) -> None:
        if self._worker is None or not self._is_ready or not self._is_idle() or self._next_job is not None:
            return
        if time.monotonic() - self._idle_since >= self._settings.idle_seconds:
            self._is_exiting = True
            self._worker.send(Stop())

    # --- The worker ---------------------------------------------------------------------------

    def _start_worker(self) -> None:
        self._worker = WorkerProcess(self._worker_command)
        self._is_ready = self._is_exiting = False
        self._kill_reason = None
        self._selector.register(self._worker, selectors.EVENT_READ)
        self._board.worker_started(self._worker.pid)
        logger.info("A worker has started.", extra={"worker_pid": self._worker.pid})

    def _poll_worker(self) -> None:
        if self._worker is None:
            return
        for event in self._worker.read_events():
            self._take(event)
        if self._worker.has_closed:
            self._worker_ended(self._worker)

    def _take(self, event: Event) -> None:
        self._board.take(event)
        match event:
            case Ended():
                self._job_ended(event)
            case Exiting():
                self._is_exiting = True
                if event.is_setting:
                    self._refusal = event.reason
                if event.is_fault:
                    self._backoff.crashed(in_job=True)
            case Loaded():
                logger.info("A model is loaded.", extra={"model": event.model, "plan": event.plan})
            case Ready():
                self._is_ready = True
                self._idle_since = time.monotonic()

    def _job_ended(self, event: Ended) -> None:
        logger.info("A job has ended.", extra={"job_id": event.job_id, "outcome": event.outcome})
        self._idle_since = time.monotonic()
        self._source.job_left(event.job_id)
        if event.outcome == "storage_full":
            self._paused_until = time.monotonic() + _FULL_DISK_PAUSE
        if event.outcome in ("completed", "failed", "cancelled"):
            self._backoff.worked()

    def _worker_ended(self, worker: WorkerProcess) -> None:
        self._selector.unregister(worker)
        status = worker.wait()
        self._worker = None
        job_id = self._board.job_id
        self._board.worker_gone()
        if self._is_exiting and job_id is None and self._kill_reason is None:
            logger.info("The worker has left.", extra={"reason": self._board.message, "status": status})
            self._board.message = None
            return
        self._board.message = None
        reason = self._kill_reason or f"The worker died: {describe_exit(status)}."
        logger.error("%s", reason, extra={"job_id": job_id})
        self._backoff.crashed(in_job=job_id is not None)
        if job_id is not None:
            self._source.recover(job_id, JobError(type="runner_died", message=reason))

    # --- Patience -----------------------------------------------------------------------------

    def _silence_timeout(self) -> float:
        """How long the worker may be silent now."""
        if not self._is_ready or self._board.state in (RunnerState.LOADING, RunnerState.WARMING_UP):
            return self._settings.load_seconds
        if self._board.job_id is None and not self._is_exiting:
            return float("inf")
        return self._board.step_times.silence_timeout(self._board.model, self._settings.stall_seconds)

    def _check_silence(self) -> None:
        """Kill a worker that shows no progress. It keeps the device and its lock until it is really gone."""
        worker = self._worker
        if worker is None or self._kill_reason is not None or worker.silent_seconds() < self._silence_timeout():
            return
        self._kill_reason = f"No progress for {worker.silent_seconds():.0f} s; the worker was killed."
        # One that waits for the kernel lives on, and nothing may begin on its device: whoever looks shall know.
        self._board.pause(f"{self._kill_reason} Work goes on as soon as its process {worker.pid} is gone.")
        worker.kill()

    # --- The end ------------------------------------------------------------------------------

    def _stop_worker(self) -> None:
        """Ask the worker to end, once; kill it if it takes too long or if somebody asks again."""
        if self._worker is None:
            return
        if self._stop_deadline is None:
            self._is_exiting = True
            self._worker.send(Stop())
            self._stop_deadline = (
                time.monotonic() + STOP_SECONDS + self._board.step_times.longest_step(self._board.model)
            )
            return
        if time.monotonic() >= self._stop_deadline or self._stop_requests() > 1:
            self._kill_reason = "The worker did not stop in time and was killed."
            self._worker.kill()
            self._stop_deadline = float("inf")

    def _end_worker_now(self) -> None:
        """Leave no worker behind where the loop itself failed."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()
