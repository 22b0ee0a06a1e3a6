"""Shows what the slots are doing in the runner's status file. Holds nothing of them itself."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from core.layout import Layout
from jobs import runner_status
from jobs.catalog import Catalog
from jobs.ids import timestamp
from jobs.runner_status import HEARTBEAT_SECONDS, RunnerState, RunnerStatus, WorkerStatus
from jobs.schema import Phase
from runner.orphan import Orphans
from runner.slot_state import SlotState
from runner.worker_slot import WorkerSlot

logger = logging.getLogger(__name__)

#: So long after a job was handed over (seconds) the status file waits: the worker may need this processor now.
_HAND_OVER_SECONDS: Final = 0.005
_CRASHING: Final = "The worker has crashed repeatedly; it is started again after a pause."
_PHASES: Final = {Phase.LOADING_MODEL: RunnerState.LOADING, Phase.WARMING_UP: RunnerState.WARMING_UP}
#: The later, the more there is to say of a worker in this state.
_BUSYNESS: Final = (
    RunnerState.STOPPED,
    RunnerState.PAUSED,
    RunnerState.IDLE,
    RunnerState.STARTING,
    RunnerState.WARMING_UP,
    RunnerState.LOADING,
    RunnerState.BUSY,
)


class StatusBoard:
    """Writes the status file of a runner with these slots; `strays` are orphans of devices that no slot has."""

    def __init__(self, layout: Layout, catalog: Catalog, slots: Sequence[WorkerSlot], strays: Orphans) -> None:
        self._layout = layout
        self._catalog = catalog
        self._slots = slots
        self._orphans = [*(slot.orphans for slot in slots), strays]
        self._started_at = timestamp()
        self._written: tuple[Any, ...] = ()
        self._written_at = 0.0

    def show(self, pause: str | None = None) -> None:
        """Write if something changed or the heartbeat is due; no job is begun for the reason `pause`."""
        if self._hand_over_seconds() <= 0:
            self._write([_worker(slot, pause) for slot in self._slots])

    def show_stopped(self, reason: str | None = None) -> None:
        """The runner ends; with a reason where it cannot work as it is set up."""
        self._write([_worker(slot, None, (RunnerState.STOPPED, reason)) for slot in self._slots])

    def seconds_to_show(self) -> float:
        """Until `show` has something to do although nothing changes."""
        heartbeat = self._written_at + HEARTBEAT_SECONDS - time.monotonic()
        return max(0.0, self._hand_over_seconds() or heartbeat)

    def _hand_over_seconds(self) -> float:
        last = max(slot.facts.assigned_at for slot in self._slots)
        return max(0.0, last + _HAND_OVER_SECONDS - time.monotonic())

    def _write(self, workers: list[WorkerStatus]) -> None:
        """A full disk is no reason to stop."""
        now = time.monotonic()
        orphans = [mark for orphans in self._orphans for mark in orphans.living()]
        facts = (*_changing(workers), *orphans)
        if facts == self._written and now - self._written_at < HEARTBEAT_SECONDS:
            return
        self._written, self._written_at = facts, now
        status = RunnerStatus(
            pid=os.getpid(),
            state=RunnerState.IDLE,
            available_models=(available := list(self._catalog.available())),
            pipelines={key: self._catalog.pipeline(key) for key in available},
            workers=workers,
            orphans=orphans,
            started_at=self._started_at,
            updated_at=timestamp(),
        ).showing(max(workers, key=_busyness))
        try:
            runner_status.write(self._layout, status, self._slots[0].device)
        except OSError as error:
            logger.warning("The status file could not be written: %s", error)


def _busyness(worker: WorkerStatus) -> tuple[int, bool]:
    return _BUSYNESS.index(worker.state), worker.pid is not None


def _changing(workers: Iterable[WorkerStatus]) -> list[Any]:
    """What is written at once when it changes; the times of steps wait for the heartbeat."""
    return [(at.state, at.message, at.pid, at.device, at.job_id, tuple(at.loaded_models)) for at in workers]


def _worker(slot: WorkerSlot, pause: str | None, end: tuple[RunnerState, str | None] | None = None) -> WorkerStatus:
    facts, process = slot.facts, slot.process
    state, message = end or _seen(slot, pause)
    return WorkerStatus(
        slot=slot.device,
        state=state,
        message=message,
        device=slot.found_device,
        device_name=slot.device_name,
        pid=process.pid if process else None,
        start_ticks=process.start_ticks if process else None,
        job_id=facts.job_id,
        loaded_models=facts.loaded_models,
        plans=facts.plans,
        step_seconds=slot.step_times.medians(),
        load_seconds=slot.load_seconds,
    )


def _seen(slot: WorkerSlot, pause: str | None) -> tuple[RunnerState, str | None]:
    """What a slot does, and a sentence on it where there is one."""
    message = slot.facts.message
    if slot.state is SlotState.STARTING:
        return RunnerState.STARTING, message
    if slot.state is SlotState.KILLED:
        return RunnerState.PAUSED, message
    if slot.facts.job_id is not None:
        return _PHASES.get(slot.facts.phase or Phase.GENERATING, RunnerState.BUSY), message
    if slot.state is SlotState.ABSENT and (slot.refusal or slot.backoff.remaining()):
        return RunnerState.PAUSED, slot.refusal or _CRASHING
    return (RunnerState.PAUSED, pause) if pause else (RunnerState.IDLE, message)
