"""`runner.<device>.json`: what the runner of a device is doing, for everybody who wants to show it.

Several runners, each with its own device, may work on one data directory; each has its own file. It is
written whole by the runner's supervisor at every change and at least every `HEARTBEAT_SECONDS`; never
synced. Whether a runner lives is not read from here but from its lock, which no clock can spoil.
"""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from core import files
from core.layout import Layout
from core.locks import is_locked
from jobs.schema import encode

HEARTBEAT_SECONDS: Final = 5.0


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
    #: The models whose weights the runner sees.
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


def write(layout: Layout, status: RunnerStatus, device: str) -> None:
    """Replace the status file of the runner for `device`; raises OSError."""
    files.replace(layout.runner_status(device), encode(status), layout.temporary, durable=False, name="runner_status")


def read(layout: Layout, device: str) -> RunnerStatus | None:
    """The last status that a runner for `device` wrote; None if there is none that can be read."""
    try:
        return msgspec.json.decode(files.read(layout.runner_status(device)), type=RunnerStatus)
    except (OSError, ValueError):
        return None


def read_all(layout: Layout) -> list[Runner]:
    """Every runner that lives or has left a status file, sorted by device."""
    locked, known = layout.runners()
    living = {device for device in locked if is_locked(layout.runner_lock(device))}
    return [Runner(device, device in living, read(layout, device)) for device in sorted(living | known)]


def read_living(layout: Layout) -> list[Runner]:
    """The runners that live, sorted by device."""
    return [runner for runner in read_all(layout) if runner.is_alive]


def why_stopped(layout: Layout) -> str | None:
    """Why the runner that wrote last has ended, where it could not work as it was set up."""
    known = (runner.status for runner in read_all(layout) if runner.status is not None)
    latest = max(known, key=lambda status: status.updated_at, default=None)
    return latest.message if latest is not None and latest.state is RunnerState.STOPPED else None


def available_models(layout: Layout) -> frozenset[str]:
    """The models whose weights the runners see or, where they have ended, last saw. Cheap: asked for each request."""
    found: set[str] = set()
    for device in layout.runners()[1]:
        with suppress(FileNotFoundError):  # removed since it was listed
            status = layout.runner_status(device).stat()
            found |= _available_for(layout, device, status.st_ino, status.st_mtime_ns)
    return frozenset(found)


@lru_cache(maxsize=32)
def _available_for(layout: Layout, device: str, _inode: int, _changed: int) -> frozenset[str]:
    """The models of one status file, which is replaced as a whole, so that another inode or time is another file."""
    status = read(layout, device)
    return frozenset(status.available_models if status else ())
