"""`runner.<device>.json`: what a runner's workers are doing, for everybody who wants to show it.

Several runners, each with its own devices, may work on one data directory; each has its own file, named by
its first device. It is written whole by the runner's supervisor at every change and at least every
`HEARTBEAT_SECONDS`; never synced. Whether a runner lives is not read from here but from its locks, one for
each device, which no clock can spoil.
"""

from __future__ import annotations

from collections.abc import Collection
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


class WorkerMark(Struct, frozen=True, kw_only=True):
    """Names one worker process for good, also after its pid is used again."""

    #: The device that it was started for.
    device: str
    pid: int
    #: When it began, in clock ticks since boot.
    start_ticks: int


class WorkerStatus(Struct, frozen=True, kw_only=True):
    """One of a runner's workers, or the place where one may be started."""

    #: The device that it is set to use: `auto`, `cpu`, `cuda:0`, ...
    slot: str
    state: RunnerState
    #: A sentence, where the state needs one.
    message: str | None = None
    #: The device that it has found: `cpu`, `cuda:0`, ...; None until a worker has found out.
    device: str | None = None
    device_name: str | None = None
    #: Its process; None where there is none now.
    pid: int | None = None
    start_ticks: int | None = None
    job_id: str | None = None
    loaded_models: list[str] = []
    plans: dict[str, dict[str, Any]] = {}
    step_seconds: dict[str, float] = {}
    load_seconds: dict[str, float] = {}


class RunnerStatus(Struct, frozen=True, kw_only=True):
    """One look at a runner. Times are RFC 3339 in UTC, durations seconds.

    What is said of a worker (state, message, device, job, models, times) is said of the busiest one, for
    readers that know of one only; `workers` holds all.
    """

    schema: Literal[1] = 1
    pid: int
    state: RunnerState
    #: A sentence, where the state needs one.
    message: str | None = None
    #: `cpu`, `cuda:0`, ...; None until a worker has found out.
    device: str | None = None
    device_name: str | None = None
    worker_pid: int | None = None
    #: When the worker process began, in clock ticks since boot: with the pid it names one process for good.
    worker_start_ticks: int | None = None
    job_id: str | None = None
    #: The models whose pipelines are in memory, the last used last.
    loaded_models: list[str] = []
    #: How each loaded model was made to fit and fast, by model.
    plans: dict[str, dict[str, Any]] = {}
    #: The models whose weights the runner sees.
    available_models: list[str] = []
    #: The classes of their pipelines, as far as these can be told.
    pipelines: dict[str, str] = {}
    #: Median time of a denoising step recently, by model.
    step_seconds: dict[str, float] = {}
    #: Time that the last load took, by model.
    load_seconds: dict[str, float] = {}
    workers: list[WorkerStatus] = []
    #: Workers of earlier runners that still lived at the last look; the runner ends those that hang.
    orphans: list[WorkerMark] = []
    started_at: str
    updated_at: str

    def showing(self, worker: WorkerStatus) -> RunnerStatus:
        """The same runner with this one of its workers in front."""
        return msgspec.structs.replace(
            self,
            state=worker.state,
            message=worker.message,
            device=worker.device,
            device_name=worker.device_name,
            worker_pid=worker.pid,
            worker_start_ticks=worker.start_ticks,
            job_id=worker.job_id,
            loaded_models=worker.loaded_models,
            plans=worker.plans,
            step_seconds=worker.step_seconds,
            load_seconds=worker.load_seconds,
        )

    def worker_marks(self, device: str) -> list[WorkerMark]:
        """Every worker process that it knows of; `device` is the runner's, for what has none of its own."""
        marks = [_mark(worker.slot, worker.pid, worker.start_ticks) for worker in self.workers]
        marks += [_mark(device, self.worker_pid, self.worker_start_ticks)] if not self.workers else []
        return [*(mark for mark in marks if mark is not None), *self.orphans]


def _mark(device: str, pid: int | None, ticks: int | None) -> WorkerMark | None:
    return None if pid is None or ticks is None else WorkerMark(device=device, pid=pid, start_ticks=ticks)


class Runner(NamedTuple):
    """The runner of one device, as its lock and its status file show it. A process may be the runner of several."""

    device: str
    is_alive: bool
    #: Its last word, also of one that was killed, with the worker of this device in front; None if there is
    #: none that can be read.
    status: RunnerStatus | None


def write(layout: Layout, status: RunnerStatus, device: str) -> None:
    """Replace the status file of the runner whose first device is `device`; raises OSError.

    Files that earlier runners left for its other devices go: what they say is over.
    """
    files.replace(layout.runner_status(device), encode(status), layout.temporary, durable=False, name="runner_status")
    for worker in status.workers:
        if worker.slot != device:
            layout.runner_status(worker.slot).unlink(missing_ok=True)


def read(layout: Layout, device: str) -> RunnerStatus | None:
    """The last status that the runner whose first device is `device` wrote; None if there is none to be read."""
    try:
        return msgspec.json.decode(files.read(layout.runner_status(device)), type=RunnerStatus)
    except (OSError, ValueError):
        return None


def read_all(layout: Layout) -> list[Runner]:
    """The runner of every device that has one or had one, sorted by device."""
    locked, known = layout.runners()
    living = {device for device in locked if is_locked(layout.runner_lock(device))}
    statuses = {device: read(layout, device) for device in known}
    found = dict.fromkeys(living, None) | statuses
    # What is trusted most comes last: a living runner's word before that of a dead one, and a device's own file
    # before that of another, since who has several devices removes the files of all but the first.
    for device in sorted(known, key=living.__contains__):
        found |= _by_device(statuses[device])
    for device in known:
        found[device] = _by_device(statuses[device]).get(device, statuses[device])
    return [Runner(device, device in living, found[device]) for device in sorted(found)]


def _by_device(status: RunnerStatus | None) -> dict[str, RunnerStatus]:
    """A runner's status for each of its devices."""
    return {worker.slot: status.showing(worker) for worker in status.workers} if status else {}


def left_behind(layout: Layout, own: Collection[str]) -> list[WorkerMark]:
    """The worker processes that runners which have ended knew of last; some may still live.

    `own` are devices whose runner the caller is: what their files say was said by an earlier one.
    """
    marks: dict[tuple[int, int], WorkerMark] = {}
    for device in sorted(layout.runners()[1]):
        status = read(layout, device)
        if status is not None and (device in own or not is_locked(layout.runner_lock(device))):
            marks |= {(mark.pid, mark.start_ticks): mark for mark in status.worker_marks(device)}
    return list(marks.values())


def read_living(layout: Layout) -> list[Runner]:
    """The runners that live, sorted by device."""
    return [runner for runner in read_all(layout) if runner.is_alive]


def why_stopped(layout: Layout) -> str | None:
    """Why the runner that wrote last has ended, where it could not work as it was set up."""
    known = (runner.status for runner in read_all(layout) if runner.status is not None)
    latest = max(known, key=lambda status: status.updated_at, default=None)
    return latest.message if latest is not None and latest.state is RunnerState.STOPPED else None


def available_models(layout: Layout) -> dict[str, str]:
    """The models whose weights the runners see or, where they have ended, last saw, and the classes of their pipelines.

    Cheap: asked for each request.
    """
    found: dict[str, str] = {}
    for device in layout.runners()[1]:
        with suppress(FileNotFoundError):  # removed since it was listed
            status = layout.runner_status(device).stat()
            found |= _available_for(layout, device, status.st_ino, status.st_mtime_ns)
    return found


@lru_cache(maxsize=32)
def _available_for(layout: Layout, device: str, _inode: int, _changed: int) -> dict[str, str]:
    """The models of one status file, which is replaced as a whole, so that another inode or time is another file."""
    status = read(layout, device)
    return {model: status.pipelines.get(model, "") for model in status.available_models} if status else {}
