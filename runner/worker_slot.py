"""One place where a worker may run, as a state machine. Knows no files, no spool and no engine.

The supervisor asks a slot to start a worker, gives it jobs and asks it to end; `poll` says what has happened.
Everything else that is known of the worker is kept here from what it says, for whoever wants to look.
"""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable
from typing import Final

from core.settings import Settings
from jobs.schema import Phase
from runner.crash_backoff import CrashBackoff
from runner.messages import Ended, Event, Exiting, Loaded, Loading, Ready, Run, Stepped, Stop, Waiting, WarmingUp
from runner.orphan import Orphans
from runner.slot_state import (
    TRANSITIONS,
    Happening,
    IllegalTransition,
    JobEnded,
    SlotState,
    WorkerDied,
    WorkerFacts,
    WorkerLeft,
)
from runner.step_times import StepTimes
from runner.worker_process import WorkerProcess, describe_exit

logger = logging.getLogger(__name__)

#: What a stopping worker gets beyond its step, in seconds.
STOP_SECONDS: Final = 5.0
#: Time in which a process whose pipe has closed must be gone, in seconds.
EXIT_SECONDS: Final = 10.0
#: The first and the longest pause between two looks whether such a process is gone, in seconds.
_SHORTEST_LOOK: Final = 0.005
_LONGEST_LOOK: Final = 0.5


class WorkerSlot:
    """The worker of one device, or the place for it.

    `launch` starts a process for this device, which may be anything that speaks `runner.messages`. Its pipe is
    registered with `selector` as long as it is open. `orphans` are the workers that earlier runners left on this
    device.
    """

    def __init__(
        self,
        device: str,
        launch: Callable[[], WorkerProcess],
        settings: Settings,
        selector: selectors.BaseSelector,
        orphans: Orphans,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.device = device
        self.orphans = orphans
        self.backoff = CrashBackoff(now)
        self.step_times = StepTimes()
        self.load_seconds: dict[str, float] = {}
        #: The device and its name, as the last worker has found them.
        self.found_device: str | None = None
        self.device_name: str | None = None
        #: Why no worker can work here, as a worker has found out.
        self.refusal: str | None = None
        self.facts = WorkerFacts()
        self._launch = launch
        self._settings = settings
        self._selector = selector
        self._now = now
        self._state = SlotState.ABSENT
        self._process: WorkerProcess | None = None

    @property
    def state(self) -> SlotState:
        """What there is of a worker now."""
        return self._state

    @property
    def process(self) -> WorkerProcess | None:
        """The worker's process; None where there is none."""
        return self._process

    @property
    def is_startable(self) -> bool:
        """Whether a worker may be started now or, after a pause, later."""
        return self._state is SlotState.ABSENT and self.refusal is None

    def _move(self, state: SlotState) -> None:
        if state not in TRANSITIONS[self._state]:
            raise IllegalTransition(f"The worker of {self.device} is {self._state}, which cannot become {state}.")
        self._state = state

    # --- What the supervisor asks for -----------------------------------------------------------

    def start(self) -> None:
        """Start a worker; where the system refuses a process, this counts as a crash."""
        if not self.is_startable:
            raise IllegalTransition(f"No worker can be started for {self.device}, which is {self._state}.")
        try:
            process = self._launch()
        except OSError as error:
            logger.error("No worker could be started: %s.", error.strerror, extra={"device": self.device})
            self.backoff.crashed(in_job=False)
            return
        self._process = process
        self.facts = WorkerFacts()
        self._move(SlotState.STARTING)
        self._selector.register(process, selectors.EVENT_READ)
        logger.info("A worker has started.", extra={"worker_pid": process.pid, "device": self.device})

    def assign(self, job_id: str) -> None:
        """Give a job to a worker that waits for one."""
        self._move(SlotState.RUNNING)
        self.facts.job_id, self.facts.model, self.facts.phase = job_id, None, Phase.PREPARING
        self.facts.message = None
        self.facts.assigned_at = self._now()
        self._running_process().send(Run(job_id))

    def request_exit(self, *, must_stop: bool = False) -> None:
        """Ask the worker to end at its next step; with `must_stop` it is killed if that takes too long."""
        if self._state in (SlotState.ABSENT, SlotState.KILLED):
            return
        if self._state is not SlotState.EXITING:
            self._move(SlotState.EXITING)
            self._running_process().send(Stop())
        if must_stop and self.facts.exit_deadline == float("inf"):
            self.facts.exit_deadline = self._now() + STOP_SECONDS + self.step_times.longest_step(self.facts.model)

    def kill(self, reason: str) -> None:
        """End the worker at once, whatever it does."""
        if self._state in (SlotState.ABSENT, SlotState.KILLED):
            return
        self._move(SlotState.KILLED)
        self.facts.kill_reason = reason
        process = self._running_process()
        # One that waits for the kernel lives on, and nothing may begin on its device: whoever looks must know.
        self.facts.message = f"{reason} Work goes on here as soon as its process {process.pid} is gone."
        process.kill()

    def _running_process(self) -> WorkerProcess:
        if self._process is None:
            raise IllegalTransition(f"The worker of {self.device} is {self._state}: there is none.")
        return self._process

    # --- What the worker does -------------------------------------------------------------------

    def poll(self) -> list[Happening]:
        """What has happened since the last call."""
        process = self._process
        if process is None:
            return []
        happened: list[Happening] = []
        for event in process.read_events():
            if (ended := self._take(event)) is not None:
                happened.append(ended)
        if process.has_closed:
            if self.facts.closed_at is None:
                self._selector.unregister(process)
                self.facts.closed_at = self._now()
            if (status := process.exit_status()) is not None:
                process.close()
                happened.append(self._gone(status))
        return happened

    def _take(self, event: Event) -> JobEnded | None:
        """Learn from what the worker says."""
        facts = self.facts
        match event:
            case Ready():
                self._take_ready(event)
            case Waiting():
                facts.message = event.reason
            case Loading():
                facts.phase, facts.model = Phase.LOADING_MODEL, event.model
            case Loaded():
                self._take_loaded(event)
            case WarmingUp():
                facts.phase, facts.model = Phase.WARMING_UP, event.model
            case Stepped():
                facts.phase, facts.model, facts.message = Phase.GENERATING, event.model, None
                if event.step_seconds is not None:
                    self.step_times.add(event.model, event.step_seconds)
            case Ended():
                return self._take_ended(event)
            case Exiting():
                self._take_exiting(event)
        return None

    def _take_ready(self, event: Ready) -> None:
        self.found_device, self.device_name = event.device, event.device_name
        self.facts.is_ready = True
        if self._state is SlotState.STARTING:
            self._move(SlotState.IDLE)
            self.facts.message = None
            self.facts.idle_since = self._now()

    def _take_loaded(self, event: Loaded) -> None:
        logger.info("A model is loaded.", extra={"model": event.model, "device": self.device, "plan": event.plan})
        facts = self.facts
        facts.phase = Phase.GENERATING
        facts.loaded_models = event.models
        facts.plans = {m: plan for m, plan in (facts.plans | {event.model: event.plan}).items() if m in event.models}
        self.load_seconds[event.model] = event.seconds

    def _take_ended(self, event: Ended) -> JobEnded | None:
        facts = self.facts
        if event.job_id != facts.job_id:
            logger.error("The worker ended a job that it was not given.", extra={"job_id": event.job_id})
            return None
        facts.job_id = facts.phase = None
        facts.idle_since = self._now()
        if self._state is SlotState.RUNNING:
            self._move(SlotState.IDLE)
        if event.outcome in ("completed", "failed", "cancelled"):
            self.backoff.worked()
        return JobEnded(event.job_id, event.outcome)

    def _take_exiting(self, event: Exiting) -> None:
        self.facts.has_said_exiting = True
        if event.is_setting:
            self.refusal = event.reason
        if event.is_fault:
            self.backoff.crashed(in_job=True)
        if self._state is SlotState.KILLED:
            return
        self.facts.message = event.reason
        if self._state is not SlotState.EXITING:
            self._move(SlotState.EXITING)

    def _gone(self, status: int) -> WorkerLeft | WorkerDied:
        facts, self.facts = self.facts, WorkerFacts()
        # Whoever says that it ends holds no job: what it was given since then it never began.
        was_asked = self._state is SlotState.EXITING and facts.job_id is None
        about = {"device": self.device, "job_id": facts.job_id, "status": status}
        self._process = None
        self._move(SlotState.ABSENT)
        if facts.kill_reason is None and (facts.has_said_exiting or was_asked):
            logger.info("The worker has left.", extra=about | {"reason": facts.message})
            return WorkerLeft(facts.job_id)
        reason = facts.kill_reason or f"The worker died: {describe_exit(status)}."
        logger.error("%s", reason, extra=about)
        self.backoff.crashed(in_job=facts.job_id is not None)
        return WorkerDied(facts.job_id, reason)

    # --- Time -----------------------------------------------------------------------------------

    def check_silence(self) -> None:
        """Kill a worker that shows no progress, or does not end when it must; also one that an earlier runner left."""
        self.orphans.check()
        if self._process is None or self._state is SlotState.KILLED:
            return
        silent = self._process.silent_seconds()
        if self.facts.closed_at is not None and self._now() - self.facts.closed_at >= EXIT_SECONDS:
            self.kill("The worker closed its pipe, but did not end; it was killed.")
        elif self._now() >= self.facts.exit_deadline:
            self.kill("The worker did not stop in time and was killed.")
        elif silent >= self._silence_timeout():
            self.kill(f"No progress for {silent:.0f} s; the worker was killed.")

    def let_go_if_idle(self) -> None:
        """Ask a worker to end that has waited for long enough."""
        if self._state is SlotState.IDLE and self._idle_seconds_left() <= 0:
            self.request_exit()

    def seconds_until_due(self) -> float:
        """Until the clock alone makes `poll`, `check_silence` or `let_go_if_idle` do something."""
        due = [self.orphans.seconds_until_due()]
        if self.facts.closed_at is not None:
            waited = self._now() - self.facts.closed_at
            due.append(min(_LONGEST_LOOK, max(_SHORTEST_LOOK, waited / 2)))
        if self._process is not None and self._state is not SlotState.KILLED:
            due.append(self._silence_timeout() - self._process.silent_seconds())
            due.append(self.facts.exit_deadline - self._now())
        if self._state is SlotState.IDLE:
            due.append(self._idle_seconds_left())
        return max(0.0, min(due))

    def _idle_seconds_left(self) -> float:
        return self.facts.idle_since + self._settings.idle_seconds - self._now()

    def _silence_timeout(self) -> float:
        """How long the worker may be silent now."""
        if self._state is SlotState.IDLE:
            return float("inf")
        if not self.facts.is_ready or self.facts.phase in (Phase.LOADING_MODEL, Phase.WARMING_UP):
            return self._settings.load_seconds
        return self.step_times.silence_timeout(self.facts.model, self._settings.stall_seconds)
