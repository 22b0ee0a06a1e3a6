"""What is known of the worker, kept from its events, and written to its status file."""

from __future__ import annotations

import logging
import os
import time
from typing import Any, Final

from jobs import runner_status
from jobs.catalog import Catalog
from jobs.ids import timestamp
from jobs.runner_status import HEARTBEAT_SECONDS, RunnerState, RunnerStatus
from jobs.spool import Spool
from runner.messages import Ended, Event, Exiting, Loaded, Loading, Ready, Stepped, Waiting, WarmingUp
from runner.orphan import start_ticks
from runner.step_times import StepTimes

logger = logging.getLogger(__name__)

#: So long after a job was handed over (seconds) the status file waits: the worker may need this processor now.
_HAND_OVER_SECONDS: Final = 0.005


class StatusBoard:
    """The worker's state as the supervisor knows it. `device` tells this runner from others on the same spool."""

    def __init__(self, spool: Spool, catalog: Catalog, device: str) -> None:
        self.step_times = StepTimes()
        self.state = RunnerState.IDLE
        self.message: str | None = None
        self.worker_pid: int | None = None
        self.job_id: str | None = None
        self.model: str | None = None
        self.loaded_models: list[str] = []
        self._spool = spool
        self._catalog = catalog
        self._runner_device = device
        self._worker_start_ticks: int | None = None
        self._device: str | None = None
        self._device_name: str | None = None
        self._plans: dict[str, dict[str, Any]] = {}
        self._load_seconds: dict[str, float] = {}
        self._started_at = timestamp()
        self._written: tuple[Any, ...] = ()
        self._written_at = 0.0
        self._waits_until = 0.0

    def last_words(self) -> RunnerStatus | None:
        """What this runner, or an earlier one for its device, wrote last."""
        return runner_status.read(self._spool.layout, self._runner_device)

    def worker_started(self, pid: int) -> None:
        """A worker process has begun."""
        self.worker_pid = pid
        self._worker_start_ticks = start_ticks(pid)
        self.state = RunnerState.STARTING
        self.message = None

    def dispatched(self, job_id: str) -> None:
        """A job was given to the worker."""
        self.job_id = job_id
        self.model = None
        self.state = RunnerState.BUSY
        self.message = None
        self._waits_until = time.monotonic() + _HAND_OVER_SECONDS

    def worker_gone(self) -> None:
        """The worker process is gone, and with it what it had in memory."""
        self.worker_pid = self._worker_start_ticks = self.job_id = self.model = None
        self.loaded_models = []
        self._plans = {}
        self.state = RunnerState.IDLE

    def pause(self, message: str) -> None:
        """No job is begun, for the reason in `message`."""
        self.state = RunnerState.PAUSED
        self.message = message

    def resume(self) -> None:
        """The reason of a pause is gone."""
        if self.state is RunnerState.PAUSED:
            self.state = RunnerState.IDLE
            self.message = None

    def take(self, event: Event) -> None:
        """Learn from what the worker says."""
        match event:
            case Ready():
                self._device, self._device_name = event.device, event.device_name
                self.state, self.message = RunnerState.IDLE, None
            case Waiting():
                self.message = event.reason
            case Loading():
                self.state, self.model = RunnerState.LOADING, event.model
            case Loaded():
                self._take_loaded(event)
            case WarmingUp():
                self.state, self.model = RunnerState.WARMING_UP, event.model
            case Stepped():
                self.state, self.model, self.message = RunnerState.BUSY, event.model, None
                if event.step_seconds is not None:
                    self.step_times.add(event.model, event.step_seconds)
            case Ended():
                self.state, self.job_id = RunnerState.IDLE, None
            case Exiting():
                self.message = event.reason

    def _take_loaded(self, event: Loaded) -> None:
        self.state = RunnerState.BUSY
        self.loaded_models = event.models
        self._load_seconds[event.model] = event.seconds
        self._plans[event.model] = event.plan
        self._plans = {model: plan for model, plan in self._plans.items() if model in event.models}

    def stopped(self, reason: str | None = None) -> None:
        """The runner ends; with a reason where it cannot work as it is set up."""
        self.state, self.message = RunnerState.STOPPED, reason
        self._waits_until = 0.0
        self.write()

    def write(self) -> None:
        """Write the status file if something changed or the heartbeat is due; a full disk is no reason to stop."""
        now = time.monotonic()
        facts = (self.state, self.message, self.worker_pid, self.job_id, self.model, tuple(self.loaded_models))
        if now < self._waits_until or (facts == self._written and now - self._written_at < HEARTBEAT_SECONDS):
            return
        self._written, self._written_at = facts, now
        try:
            runner_status.write(self._spool.layout, self._status(), self._runner_device)
        except OSError as error:
            logger.warning("The status file could not be written: %s", error)

    def seconds_to_write(self) -> float:
        """Until `write` has something to do although nothing changes."""
        now = time.monotonic()
        due = self._waits_until if now < self._waits_until else self._written_at + HEARTBEAT_SECONDS
        return max(0.0, due - now)

    def _status(self) -> RunnerStatus:
        return RunnerStatus(
            pid=os.getpid(),
            state=self.state,
            message=self.message,
            device=self._device,
            device_name=self._device_name,
            worker_pid=self.worker_pid,
            worker_start_ticks=self._worker_start_ticks,
            job_id=self.job_id,
            loaded_models=self.loaded_models,
            plans=self._plans,
            available_models=list(self._catalog.available()),
            step_seconds=self.step_times.medians(),
            load_seconds=self._load_seconds,
            started_at=self._started_at,
            updated_at=timestamp(),
        )
