"""A worker whose supervisor was killed: it ends by itself at its next step, unless it hangs."""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from jobs.runner_status import RunnerStatus

logger = logging.getLogger(__name__)


def start_ticks(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[19])  # the name, in parentheses, may hold anything


class Orphan:
    """The worker that an earlier supervisor left behind, if it still lives; killed after `silence_timeout` seconds.

    It holds the device, so that no other worker begins before it is gone.
    """

    def __init__(self, last: RunnerStatus | None, silence_timeout: float) -> None:
        self._pid = last.worker_pid if last else None
        self._ticks = last.worker_start_ticks if last else None
        self._deadline = time.monotonic() + silence_timeout

    def is_alive(self) -> bool:
        """Whether that very process still exists."""
        return self._pid is not None and self._ticks is not None and start_ticks(self._pid) == self._ticks

    def check(self) -> None:
        """Kill it if its time is over."""
        if self._pid is None or time.monotonic() < self._deadline:
            return
        if self.is_alive():
            logger.warning("The worker of an earlier runner hangs and is killed.", extra={"worker_pid": self._pid})
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        self._pid = None
