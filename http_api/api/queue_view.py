"""The queue and the runner as the API shows them."""

from __future__ import annotations

from typing import Any, Final, Literal, cast

from msgspec import structs

from http_api.api.answers import QueueAnswer
from http_api.api.queue_answers import RunnerAnswer, RunnerDevice
from jobs.runner_status import RunnerState, WorkerStatus
from service.snapshot import QueueSnapshot, RunnerSnapshot

_Word = Literal["none", "starting", "loading", "warming_up", "drawing", "idle", "paused"]
#: What pages are told; the runner's own words otherwise.
_WORDS: Final = {RunnerState.BUSY: "drawing", RunnerState.STOPPED: "none"}


def queue(snapshot: QueueSnapshot, **details: Any) -> QueueAnswer:
    """The answer of `/queue`."""
    eta = None if snapshot.eta is None else float(round(snapshot.eta))
    counts = structs.asdict(snapshot.counts)
    pending = snapshot.counts.pending
    return QueueAnswer(**counts, queue_size=pending, paused=snapshot.paused, eta_seconds=eta, **details)


def runner(snapshot: RunnerSnapshot) -> RunnerAnswer:
    """What the runner does."""
    devices = [_device(worker) for worker in snapshot.workers]
    return RunnerAnswer(state=_word(snapshot.state), message=snapshot.message, devices=devices)


def _word(state: RunnerState) -> _Word:
    return cast("_Word", _WORDS.get(state, state.value))


def _device(worker: WorkerStatus) -> RunnerDevice:
    return RunnerDevice(
        device=worker.device or worker.slot,
        name=worker.device_name,
        state=_word(worker.state),
        message=worker.message,
        job_id=worker.job_id,
        models=worker.loaded_models,
    )
