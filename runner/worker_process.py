"""The supervisor's side of a worker: a process, two pipes, and how long it may stay silent."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Final, cast

import msgspec

from runner import messages
from runner.messages import Command, Event
from runner.orphan import start_ticks

logger = logging.getLogger(__name__)

WORKER_COMMAND: Final = (sys.executable, "-m", "runner.worker")


def worker_environment(base: Mapping[str, str], *, workers: int = 1) -> dict[str, str]:
    """The environment of a worker: `base`, never reaching out to a model hub, with sensible thread counts.

    The processors are shared out among all `workers` of the runner.
    """
    environment = dict(base)
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    # torchvision is left out on purpose; transformers says so at each start unless told not to.
    environment.setdefault("TRANSFORMERS_VERBOSITY", "error")
    environment.setdefault("OMP_NUM_THREADS", str(max(1, processors() // workers)))
    # Threads that wait for each other must sleep, not spin: on a machine that does something else, too, those that spin
    # keep the others from their processor. A picture then takes twice as long.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    return environment


def processors() -> int:
    """How many processors this process may use, by its affinity and the quota of its control group."""
    usable = len(os.sched_getaffinity(0))
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as stream:
            quota, period = stream.read().split()
    except (OSError, ValueError):
        return usable
    return usable if quota == "max" else max(1, min(usable, math.ceil(int(quota) / int(period))))


class WorkerProcess:
    """A worker that was started. Its events are read from `fileno()`, which becomes readable at its end, too.

    Nothing here waits for the process: one that is stopped, or that the kernel keeps, holds nobody up.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
        )
        #: With the pid it names this process for good.
        self.start_ticks = start_ticks(self._process.pid)
        self._input = cast("IO[bytes]", self._process.stdin)
        self._output = cast("IO[bytes]", self._process.stdout)
        os.set_blocking(self._output.fileno(), False)
        os.set_blocking(self._input.fileno(), False)
        self._buffer = b""
        self.has_closed = False
        #: When it last showed a sign of life (monotonic seconds).
        self.last_sign = time.monotonic()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._output.fileno()

    def send(self, command: Command) -> None:
        """Tell it something; a worker that has just died does not listen, and its end is seen elsewhere.

        Nor does one whose pipe is full: it is silent, and ends by that.
        """
        self.last_sign = time.monotonic()  # what it may be silent for is counted from here
        with suppress(BrokenPipeError, BlockingIOError):
            os.write(self._input.fileno(), messages.to_line(command))

    def read_events(self) -> list[Event]:
        """What it has said since the last call; sets `has_closed` at its end."""
        has_died = self._process.poll() is not None
        *lines, self._buffer = (self._buffer + self._read()).split(b"\n")
        self.has_closed = self.has_closed or has_died
        if lines:
            self.last_sign = time.monotonic()
        return [event for line in lines if (event := _decoded(line))]

    def _read(self) -> bytes:
        parts = []
        with suppress(BlockingIOError):
            while part := os.read(self.fileno(), 65536):
                parts.append(part)
            self.has_closed = True
        return b"".join(parts)

    def silent_seconds(self) -> float:
        """How long it has shown no sign of life."""
        return time.monotonic() - self.last_sign

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._process.kill()

    def exit_status(self) -> int | None:
        """Its exit status, negative where a signal ended it; None while it is not gone."""
        return self._process.poll()

    def close(self) -> None:
        """Close the pipes of a worker that is gone."""
        self._input.close()
        self._output.close()


def _decoded(line: bytes) -> Event | None:
    try:
        return messages.read_event(line)
    except msgspec.DecodeError:
        logger.error("The worker said something that is no event: %r", line[:200])
        return None


def describe_exit(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"signal {-status}"
