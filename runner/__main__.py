"""`python -m runner`: the runner of one device. Ends on SIGTERM or SIGINT, with its job back in `pending`."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from typing import Final

from core import files, log
from core.errors import DataDirectoryError, SettingsError
from core.layout import Layout
from core.locks import ExclusiveLock
from core.settings import Settings
from jobs import claims, runner_status
from jobs.catalog import Catalog
from jobs.drops.adopter import Adopter
from jobs.errors import CatalogError
from jobs.requests import RequestValidator
from jobs.spool import Spool
from runner.job_source import JobSource
from runner.status_board import StatusBoard
from runner.supervisor import Supervisor
from runner.wake import WakePipe
from runner.worker_process import WORKER_COMMAND
from service.data import Data, open_data

logger = logging.getLogger(__name__)

#: Exit statuses, as in sysexits.h.
EX_TEMPFAIL: Final = 75
EX_CONFIG: Final = 78

#: Earlier versions wrote this; what it says would never change again.
_FORMER_STATUS_FILE: Final = "runner.json"


def main(worker_command: Sequence[str] = WORKER_COMMAND) -> int:
    """Run until asked to end; answers the exit status."""
    try:
        settings = Settings.from_environment()
        log.configure(settings.log_level, show_prompts=settings.log_prompts)
        catalog = Catalog.load(settings.catalog, settings.models)
        data = open_data(settings)
        data.spool.prepare(create_anyway=settings.create_data)
    except (SettingsError, CatalogError, DataDirectoryError) as error:
        sys.stderr.write(f"{error}\n")
        return EX_CONFIG
    device = _device_key(settings.device)
    lock = ExclusiveLock(data.layout.runner_lock(device))
    if not lock.acquire(timeout=0.5):
        sys.stderr.write(f"{_already_running(settings, device)}\n")
        return EX_TEMPFAIL
    try:
        _sweep(data)
        refusal = _supervise(settings, catalog, data.spool, worker_command)
    finally:
        lock.release()
    if refusal is not None:
        sys.stderr.write(f"{refusal}\n")
        return EX_CONFIG
    return 0


def _device_key(device: str) -> str:
    """One name for each device, without asking torch: `auto` is the first GPU, or what stands for it."""
    return "cuda:0" if device in ("auto", "cuda") else device


def _already_running(settings: Settings, device: str) -> str:
    status = runner_status.read(Layout(settings.data), device)
    holder = f"process {status.pid}" if status else "another process"
    return f"A runner for this device already works on {settings.data}: {holder}."


def _sweep(data: Data) -> None:
    """Remove what crashed processes left, and PNGs of the last days that never got their sidecar."""
    removed = claims.sweep(data.spool)
    removed += files.unlink(data.layout.data / _FORMER_STATUS_FILE)
    for folder in sorted(data.layout.outputs.glob("[0-9]*/[0-9]*/[0-9]*"))[-2:]:
        removed += data.store.sweep_orphans(folder)
    if removed:
        logger.info("Leftovers of crashed writers were removed.", extra={"files": removed})


def _supervise(settings: Settings, catalog: Catalog, spool: Spool, worker_command: Sequence[str]) -> str | None:
    wake = WakePipe()
    requests = _listen_for_signals(wake)
    validator = RequestValidator(catalog, settings.prompt_limit)
    adopter = Adopter(spool, validator, settings.quiet_seconds)
    board = StatusBoard(spool, catalog, _device_key(settings.device))
    source = JobSource(settings, spool, adopter)
    return Supervisor(settings, source, board, wake, lambda: len(requests), worker_command).run()


def _listen_for_signals(wake: WakePipe) -> list[int]:
    """The signals that ask for the end, as they come; each also wakes the loop."""
    requests: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: requests.append(received))
    signal.set_wakeup_fd(wake.signal_descriptor, warn_on_full_buffer=False)
    return requests


if __name__ == "__main__":
    sys.exit(main())
