"""Workers whose supervisor was killed: each ends by itself at its next step, unless it hangs."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from jobs.runner_status import WorkerMark

logger = logging.getLogger(__name__)


def start_ticks(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None if it is gone, or dead and only not yet reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name, in parentheses, may hold anything
    return None if fields[0] == "Z" else int(fields[19])


def is_alive(mark: WorkerMark) -> bool:
    """Whether that very process still exists."""
    return start_ticks(mark.pid) == mark.start_ticks


class Orphans:
    """The workers that earlier supervisors left behind on one device; killed after `silence_timeout` seconds.

    They hold the device, so that no other worker begins before they are gone.
    """

    def __init__(
        self, marks: Iterable[WorkerMark], silence_timeout: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._living = [mark for mark in marks if is_alive(mark)]
        self._now = now
        self._deadline = now() + silence_timeout

    def living(self) -> list[WorkerMark]:
        """Those that were there at the last look."""
        return self._living

    def check(self) -> None:
        """Forget those that are gone; kill the others once their time is over."""
        if not self._living:
            return
        self._living = [mark for mark in self._living if is_alive(mark)]
        if self._now() < self._deadline:
            return
        self._deadline = float("inf")
        for mark in self._living:
            _kill(mark)

    def seconds_until_due(self) -> float:
        """Until `check` has something to do."""
        return max(0.0, self._deadline - self._now()) if self._living else float("inf")


def _kill(mark: WorkerMark) -> None:
    about = {"worker_pid": mark.pid, "device": mark.device}
    logger.warning("The worker of an earlier runner hangs and is killed.", extra=about)
    try:
        os.kill(mark.pid, signal.SIGKILL)
    except ProcessLookupError:
        logger.info("It has ended meanwhile.", extra=about)
    except PermissionError:
        logger.error("It belongs to another user and must be ended by hand: it keeps the device.", extra=about)
