"""`runner.<device>.json`: what the runner of a device is doing, for everybody who wants to show it.

Several runners, each with its own device, may work on one data directory; each has its own file. It is
written whole by the runner's supervisor at every change and at least every `HEARTBEAT_SECONDS`; never
synced. Whether a runner lives is not read from here but from its lock, which no clock can spoil.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from core import files
from core.locks import is_locked
from jobs.schema import encode

HEARTBEAT_SECONDS: Final = 5.0
_PREFIX: Final = "runner."


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


class Runner(NamedTuple):
    """The runner of one device, as its lock and its status file show it."""

    device: str
    is_alive: bool
    #: Its last word, also of one that was killed; None if there is none that can be read.
    status: RunnerStatus | None


def write(data: Path, temporary: Path, status: RunnerStatus, device: str) -> None:
    """Replace the status file of the runner for `device`; raises OSError."""
    files.replace(_path(data, device), encode(status), temporary, durable=False, name="runner_status")


def read(data: Path, device: str) -> RunnerStatus | None:
    """The last status that a runner for `device` wrote; None if there is none that can be read."""
    try:
        return msgspec.json.decode(files.read(_path(data, device)), type=RunnerStatus)
    except (OSError, ValueError):
        return None


def read_all(data: Path) -> list[Runner]:
    """Every runner that lives or has left a status file, sorted by device."""
    living = {device for device in _devices(_locks(data), ".lock") if is_locked(lock_path(data, device))}
    devices = sorted(living.union(_devices(data, ".json")))
    return [Runner(device, device in living, read(data, device)) for device in devices]


def read_living(data: Path) -> list[Runner]:
    """The runners that live, sorted by device."""
    return [runner for runner in read_all(data) if runner.is_alive]


def lock_path(data: Path, device: str) -> Path:
    """The lock that a runner for `device` holds while it lives; no job id can have this name."""
    return _locks(data) / f"{_PREFIX}{device.replace(':', '-')}.lock"


def _path(data: Path, device: str) -> Path:
    return data / f"{_PREFIX}{device.replace(':', '-')}.json"


def _locks(data: Path) -> Path:
    return data / "spool" / "locks"


def _devices(folder: Path, ending: str) -> list[str]:
    """The devices that the names of the runners' files in a folder tell."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    stems = [name.removeprefix(_PREFIX).removesuffix(ending) for name in names if _belongs_to_runner(name, ending)]
    return [stem.replace("-", ":") for stem in stems]


def _belongs_to_runner(name: str, ending: str) -> bool:
    return name.startswith(_PREFIX) and name.endswith(ending) and len(name) > len(_PREFIX) + len(ending)
