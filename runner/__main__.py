"""`python -m runner`: a worker for each device. Ends on SIGTERM or SIGINT, with its jobs back in `pending`."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final

from core import files, log
from core.errors import DataDirectoryError, SettingsError
from core.layout import Layout
from core.locks import ExclusiveLock
from core.setting_types import device_key
from core.settings import Settings
from jobs import leftovers, runner_status
from jobs.catalog import Catalog
from jobs.drops.adopter import Adopter
from jobs.errors import CatalogError
from jobs.requests import RequestValidator
from runner.housekeeping import Housekeeping
from runner.job_source import JobSource
from runner.orphan import Orphans
from runner.status_board import StatusBoard
from runner.supervisor import Supervisor
from runner.wake import WakePipe
from runner.worker_process import WORKER_COMMAND, WorkerProcess, worker_environment
from runner.worker_slot import WorkerSlot
from service.data import Data, open_data
from service.pictures import Pictures

logger = logging.getLogger(__name__)

#: Exit statuses, as in sysexits.h.
EX_TEMPFAIL: Final = 75
EX_CONFIG: Final = 78

#: Earlier versions wrote this; what it says would never change again.
_FORMER_STATUS_FILE: Final = "runner.json"


def main(worker_command: Sequence[str] = WORKER_COMMAND) -> int:
    """Run until asked to end; returns the exit status."""
    try:
        settings = Settings.from_environment()
        log.configure(settings.log_level, show_prompts=settings.log_prompts)
        catalog = Catalog.load(settings.catalog, settings.models)
        data = open_data(settings)
        data.spool.prepare(create_anyway=settings.create_data)
    except (SettingsError, CatalogError, DataDirectoryError) as error:
        sys.stderr.write(f"{error}\n")
        return EX_CONFIG
    locks: list[ExclusiveLock] = []
    try:
        for device in sorted(map(device_key, settings.devices)):  # sorted, so that two runners do not refuse each other
            locks.append(ExclusiveLock(data.layout.runner_lock(device)))
            if not locks[-1].acquire(timeout=0.5):
                sys.stderr.write(f"{_already_running(data.layout, device)}\n")
                return EX_TEMPFAIL
        _sweep(data)
        with Housekeeping(data):
            refusal = _supervise(settings, catalog, data, worker_command, locks)
    finally:
        for lock in locks:
            lock.release()
    if refusal is not None:
        sys.stderr.write(f"{refusal}\n")
        return EX_CONFIG
    return 0


def _already_running(layout: Layout, device: str) -> str:
    statuses = {runner.device: runner.status for runner in runner_status.read_living(layout)}
    status = statuses.get(device)
    holder = f"process {status.pid}" if status else "another process"
    return f"A runner for {device} already works on {layout.data}: {holder}."


def _sweep(data: Data) -> None:
    """Remove what crashed processes left. PNGs that never got a sidecar are left to `service.scrub`."""
    removed = leftovers.sweep(data.spool)
    removed += files.unlink(data.layout.data / _FORMER_STATUS_FILE)
    removed += data.store.finish_deletions()
    if removed:
        logger.info("Leftovers of crashed writers were removed.", extra={"files": removed})


def _supervise(
    settings: Settings, catalog: Catalog, data: Data, worker_command: Sequence[str], locks: Sequence[ExclusiveLock]
) -> str | None:
    wake = WakePipe()
    requests = _listen_for_signals(wake)
    validator = RequestValidator(catalog, settings.prompt_limit)
    spool = data.spool
    adopter = Adopter(spool, validator, settings.quiet_seconds, pictures=Pictures(data.inputs, data.store))
    selector = selectors.DefaultSelector()
    slots, strays = make_slots(settings, spool.layout, selector, worker_command)
    board = StatusBoard(spool.layout, catalog, slots, strays)
    source = JobSource(settings, spool, adopter, locks)
    return Supervisor(slots, source, board, strays, wake, selector, lambda: len(requests)).run()


def make_slots(
    settings: Settings, layout: Layout, selector: selectors.BaseSelector, worker_command: Sequence[str]
) -> tuple[list[WorkerSlot], Orphans]:
    """A slot for each device, and the workers that earlier runners left on other devices."""
    keys = [device_key(device) for device in settings.devices]
    left = runner_status.left_behind(layout, keys)

    def launcher(device: str) -> Callable[[], WorkerProcess]:
        own = dict(os.environ) | {"CYBERIMAGE_DEVICE": device}
        return lambda: WorkerProcess(worker_command, worker_environment(own, workers=len(keys)))

    def orphans(belongs: Callable[[str], bool]) -> Orphans:
        return Orphans((mark for mark in left if belongs(mark.device)), settings.stall_seconds)

    slots = [
        WorkerSlot(key, launcher(device), settings, selector, orphans(key.__eq__))
        for key, device in zip(keys, settings.devices, strict=True)
    ]
    return slots, orphans(lambda device: device not in keys)


def _listen_for_signals(wake: WakePipe) -> list[int]:
    """The signals that ask for the end, as they come; each also wakes the loop."""
    requests: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: requests.append(received))
    signal.set_wakeup_fd(wake.signal_descriptor, warn_on_full_buffer=False)
    return requests


if __name__ == "__main__":
    sys.exit(main())
