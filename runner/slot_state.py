"""The states of a place for a worker, what may follow what, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from jobs.schema import Phase
from runner.messages import Outcome


class SlotState(StrEnum):
    """What there is of a worker."""

    ABSENT = "absent"
    #: A process that does not own its device yet.
    STARTING = "starting"
    #: It owns the device and waits for a job.
    IDLE = "idle"
    RUNNING = "running"
    #: It was asked to end or has said that it ends; perhaps it still has its job.
    EXITING = "exiting"
    #: SIGKILL is sent. It keeps its device and its job until the kernel lets it go.
    KILLED = "killed"


_ENDINGS: Final = frozenset({SlotState.EXITING, SlotState.KILLED, SlotState.ABSENT})
#: Where each state may lead.
TRANSITIONS: Final = {
    SlotState.ABSENT: frozenset({SlotState.STARTING}),
    SlotState.STARTING: _ENDINGS | {SlotState.IDLE},
    SlotState.IDLE: _ENDINGS | {SlotState.RUNNING},
    SlotState.RUNNING: _ENDINGS | {SlotState.IDLE},
    SlotState.EXITING: _ENDINGS - {SlotState.EXITING},
    SlotState.KILLED: frozenset({SlotState.ABSENT}),
}


class IllegalTransition(Exception):
    """Somebody asked a slot for what its state does not allow."""


class JobEnded(NamedTuple):
    """The worker is done with a job."""

    job_id: str
    outcome: Outcome


class WorkerLeft(NamedTuple):
    """The worker ended on purpose; `job_id` was given to it too late, and it never began that job."""

    job_id: str | None


class WorkerDied(NamedTuple):
    """The worker is gone, crashed or killed; `job_id` must be recovered."""

    job_id: str | None
    reason: str


Happening = JobEnded | WorkerLeft | WorkerDied


@dataclass(kw_only=True)
class WorkerFacts:
    """What is known of one worker process; gone with it. Moments are monotonic seconds."""

    job_id: str | None = None
    model: str | None = None
    phase: Phase | None = None
    #: The models in memory, the last used last, and how each was loaded.
    loaded_models: list[str] = field(default_factory=list)
    plans: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Why it cannot go on yet, or why it ends: a sentence.
    message: str | None = None
    idle_since: float = 0.0
    assigned_at: float = float("-inf")
    exit_deadline: float = float("inf")
    #: When its pipe closed; it must be gone soon after.
    closed_at: float | None = None
    #: It owns its device, or has owned it.
    is_ready: bool = False
    has_said_exiting: bool = False
    kill_reason: str | None = None
