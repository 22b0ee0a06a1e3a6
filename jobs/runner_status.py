"""`runner.json`: what the runner of this data directory is doing, for everybody who wants to show it.

Written whole by the runner's supervisor at every change and at least every `HEARTBEAT_SECONDS`; never
synced. Whether the runner lives is not read from here but from its lock, which no clock can spoil.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from core import files
from core.locks import is_locked
from jobs.schema import encode

HEARTBEAT_SECONDS: Final = 5.0
_NAME: Final = "runner.json"


class RunnerState(StrEnum):
    """What the runner does now."""

    STARTING = "starting"
    #: No worker process, or one that keeps its pipeline warm and waits.
    IDLE = "idle"
    LOADING = "loading"
    #: A loaded model's kernels are being compiled, before its first picture.
    WARMING_UP = "warming_up"
    BUSY = "busy"
    #: Work may wait, but none is begun: the disk is nearly full, or the worker keeps crashing. See `message`.
    PAUSED = "paused"
    STOPPED = "stopped"


class RunnerStatus(Struct, frozen=True, kw_only=True):
    """One look at a runner. Times are RFC 3339 in UTC, durations seconds."""

    schema: Literal[1] = 1
    pid: int
    state: RunnerState
    #: A sentence, where the state needs one.
    message: str | None = None
    #: `cpu`, `cuda:0`, ...; None until a worker has found out.
    device: str | None = None
    device_name: str | None = None
    worker_pid: int | None = None
    #: When the worker process began, in clock ticks since boot: with the pid it names one process for ever.
    worker_start_ticks: int | None = None
    job_id: str | None = None
    #: The models whose pipelines are in memory, the last used last.
    loaded_models: list[str] = []
    #: How each loaded model was made to fit and fast, by model.
    plans: dict[str, dict[str, Any]] = {}
    available_models: list[str] = []
    #: Median time of a denoising step lately, by model.
    step_seconds: dict[str, float] = {}
    #: Time that the last load took, by model.
    load_seconds: dict[str, float] = {}
    started_at: str
    updated_at: str


def write(data: Path, temporary: Path, status: RunnerStatus, *, name: str = _NAME) -> None:
    """Replace the status file; raises OSError."""
    files.replace(data / name, encode(status), temporary, durable=False, name="runner_status")


def read(data: Path, *, name: str = _NAME) -> RunnerStatus | None:
    """The last status written; None if there is none that can be read."""
    try:
        return msgspec.json.decode(files.read(data / name), type=RunnerStatus)
    except (OSError, ValueError):
        return None


def lock_path(data: Path, device: str) -> Path:
    """The lock that a runner for `device` holds while it lives; no job id can have this name."""
    return data / "spool" / "locks" / f"runner.{device.replace(':', '-')}.lock"


def is_alive(data: Path) -> bool:
    """Whether any runner of this data directory lives."""
    locks = data / "spool" / "locks"
    try:
        names = [entry for entry in os.listdir(locks) if entry.startswith("runner.") and entry.endswith(".lock")]
    except FileNotFoundError:
        return False
    return any(is_locked(locks / name) for name in names)
