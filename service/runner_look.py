"""What the runners do, in one word and a sentence for people."""

from __future__ import annotations

from typing import Final

from core.layout import Layout
from jobs import runner_status
from jobs.runner_status import Runner, RunnerState, WorkerStatus
from service.snapshot import RunnerSnapshot

#: The later, the more there is to say of it.
_BUSYNESS: Final = (
    RunnerState.STOPPED,
    RunnerState.PAUSED,
    RunnerState.IDLE,
    RunnerState.STARTING,
    RunnerState.LOADING,
    RunnerState.WARMING_UP,
    RunnerState.BUSY,
)
_SENTENCES: Final = {
    RunnerState.STARTING: "The runner is starting.",
    RunnerState.IDLE: "Ready.",
    RunnerState.LOADING: "Loading a model.",
    RunnerState.WARMING_UP: "Warming up: a model is compiled before its first picture.",
    RunnerState.BUSY: "Drawing.",
    RunnerState.PAUSED: "No job is begun now.",
    RunnerState.STOPPED: "The runner is stopping.",
}


def look(layout: Layout) -> RunnerSnapshot:
    """What the living runners do; whether they live is told by their locks, so a killed one is known at once."""
    living = runner_status.read_living(layout)
    if not living:
        reason = runner_status.why_stopped(layout) or ""
        message = f"No runner is running; jobs wait until one is started. {reason}".strip()
        return RunnerSnapshot(state=RunnerState.STOPPED, message=message)
    workers = [_worker(runner) for runner in living]
    first = max(workers, key=lambda worker: _BUSYNESS.index(worker.state))
    return RunnerSnapshot(state=first.state, message=first.message or _SENTENCES[first.state], workers=workers)


def _worker(runner: Runner) -> WorkerStatus:
    """The worker of a runner's device; one that has said nothing yet is starting."""
    status = runner.status
    known = next((worker for worker in status.workers if worker.slot == runner.device), None) if status else None
    return known or WorkerStatus(slot=runner.device, state=RunnerState.STARTING)
