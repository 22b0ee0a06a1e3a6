"""Runs a life of the spool in a child process and kills it at a chosen point."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

from core import failpoints as crash_points
from jobs.requests import RequestValidator
from tests.faults.history import History
from tests.faults.scenario import Life

Prepare = Callable[[], None]


def nothing() -> None:
    """No change to the child."""


def run_life(
    data: Path,
    validator: RequestValidator,
    history: History,
    *,
    crash_at: int = 0,
    crash: Callable[[], None] = crash_points._die,
    boot: str = "boot",
    prepare: Prepare = nothing,
    may_fail: bool = False,
) -> bool:
    """Run the scenario in a child that crashes at its `crash_at`th point; True if it came to its end.

    `prepare` is called in the child first, to break something there; with `may_fail` the child may then
    also end with an error.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _live(data, validator, writing, crash_at, crash, boot, prepare)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as stream:
        lines = stream.read().splitlines()
    _, status = os.waitpid(child, 0)
    history.lines += [line for line in lines if line and not line.startswith(("point ", "error "))]
    history.points = [line.removeprefix("point ") for line in lines if line.startswith("point ")]
    if os.waitstatus_to_exitcode(status) == -signal.SIGKILL:
        return False
    assert may_fail or os.waitstatus_to_exitcode(status) == 0, "\n".join(lines)
    return os.waitstatus_to_exitcode(status) == 0


def _live(
    data: Path,
    validator: RequestValidator,
    writing: int,
    crash_at: int,
    crash: Callable[[], None],
    boot: str,
    prepare: Prepare,
) -> None:
    """The child; never returns."""

    def record(line: str) -> None:
        os.write(writing, f"{line}\n".encode())

    try:
        prepare()
        crash_points.arm(crash_at, crash)
        Life(data, validator, record, boot).run()
        for name in crash_points.passed():
            record(f"point {name}")
        os._exit(0)
    except BaseException:  # noqa: BLE001 - reported by the parent
        record("".join(f"error {line}\n" for line in traceback.format_exc().splitlines()))
    finally:
        os._exit(1)  # whatever happens, the child never becomes a second pytest
