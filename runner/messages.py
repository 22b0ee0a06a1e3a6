"""What the supervisor and its worker tell each other: JSON lines over the worker's stdin and stdout."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

Outcome = Literal["completed", "failed", "cancelled", "requeued", "storage_full", "not_claimed"]


class Run(Struct, frozen=True, tag="run"):
    """Claim this job and work on it."""

    job_id: str


class Stop(Struct, frozen=True, tag="stop"):
    """End: at the next step if a job runs, which then goes back with its attempt returned."""


class Ready(Struct, frozen=True, tag="ready"):
    """The worker owns the device and waits for a job."""

    device: str
    device_name: str


class Waiting(Struct, frozen=True, tag="waiting"):
    """The worker cannot go on yet, through no fault of its own; `reason` is a sentence."""

    reason: str


class Loading(Struct, frozen=True, tag="loading"):
    """A model is being loaded for a job."""

    job_id: str
    model: str


class Loaded(Struct, frozen=True, tag="loaded"):
    """A model is in memory; `models` are all that are, the last used last."""

    model: str
    seconds: float
    plan: dict[str, Any]
    models: list[str]


class WarmingUp(Struct, frozen=True, tag="warming_up"):
    """A loaded model's kernels are being compiled, which may take a minute without a word."""

    job_id: str
    model: str


class Stepped(Struct, frozen=True, tag="stepped"):
    """A sign of life from a job that runs. `step_seconds` is the mean of this job, once known."""

    job_id: str
    model: str
    image_number: int
    step: int
    step_seconds: float | None = None


class Ended(Struct, frozen=True, tag="ended"):
    """The worker is done with a job, and free for the next one."""

    job_id: str
    outcome: Outcome


class Exiting(Struct, frozen=True, tag="exiting"):
    """The worker ends on purpose and holds no job any more; with `is_fault` because its device is no longer sound.

    With `is_setting` because no worker can work with these settings, so that another one would not help.
    """

    reason: str
    is_fault: bool = False
    is_setting: bool = False


Command = Run | Stop
Event = Ready | Waiting | Loading | Loaded | WarmingUp | Stepped | Ended | Exiting

_commands: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def to_line(message: Command | Event) -> bytes:
    """A message as one line."""
    return msgspec.json.encode(message) + b"\n"


def read_command(line: bytes) -> Command:
    """The command in a line; raises msgspec.DecodeError."""
    return _commands.decode(line)


def read_event(line: bytes) -> Event:
    """The event in a line; raises msgspec.DecodeError."""
    return _events.decode(line)
