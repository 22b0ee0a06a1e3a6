"""Keeps the derived indexes equal to the files, finishes deletions and scrubs images, whatever a crash or a person did.

Any number of processes may keep one `Maintenance` each and call `tick` as often as they like: the API's
workers and the runner's supervisor do. Work is done by one process at a time. A tick costs a few
`stat` calls; small repairs are made at once, large ones by a child process, so that nobody waits.

    python -m service.maintenance DATA [--rebuild | --verify]

repairs or rebuilds the indexes of a data directory on request, or compares all images with their checksums, while the
programs run.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from core.errors import IndexUnavailable
from core.settings import Settings
from core.sqlite_connections import LOG_LIMIT
from service import callers
from service.data import Data, open_data
from service.scrub import Scrub

logger = logging.getLogger(__name__)

#: Seconds between two looks at the directories. What a person changes shows within twice that time.
INTERVAL: Final = 4.0
#: Seconds between two looks at what is remembered of callers.
_CALLERS_INTERVAL: Final = 3600.0
#: Names that are compared at once, in a few milliseconds; more go to a child process.
_SMALL: Final = 3000
_REPOSITORY: Final = Path(__file__).resolve().parent.parent


class Maintenance:
    """Repairs the indexes of a data directory when `tick` finds that it is time and that they differ.

    `now` is a monotonic clock in seconds.
    """

    def __init__(self, data: Data, now: Callable[[], float] = time.monotonic) -> None:
        self._data = data
        self._now = now
        self._due = now()
        self._callers_due = now()
        self._child: subprocess.Popen[bytes] | None = None
        self._scrub = Scrub(data)
        #: The failures that were logged, so that a disk that is read-only for a day is not told of every few seconds.
        self._failures: dict[str, str] = {}

    def tick(self) -> None:
        """Look whether something is to be done, at most once per `INTERVAL`. Never raises for the storage's sake."""
        if self._now() < self._due or self._child_is_busy():
            return
        self._due = self._now() + INTERVAL
        self._try("Images that are being deleted could not be removed", self._data.store.finish_deletions)
        self._try("Pictures that no job names could not be removed", self._data.inputs.sweep)
        self._try("The indexes could not be compared with the files", self._look)
        self._try("The logs of the indexes could not be copied back", self._shrink_logs)
        self._try("Images could not be compared with their checksums", self._scrub.turn)
        if self._now() >= self._callers_due:
            self._callers_due = self._now() + _CALLERS_INTERVAL
            self._try("What is remembered of callers could not be swept", lambda: callers.sweep(self._data.spool))

    def _try(self, failure: str, work: Callable[[], object]) -> None:
        try:
            work()
        except (IndexUnavailable, OSError) as error:
            if self._failures.get(failure) != str(error):
                logger.warning("%s: %s", failure, error)
            self._failures[failure] = str(error)
        else:
            self._failures.pop(failure, None)

    def wait(self) -> None:
        """Wait until a repair in a child process, if there is one, has ended."""
        if self._child is not None:
            self._child.wait()

    def close(self) -> None:
        """Stop a repair in a child process, if there is one. The next tick of anybody goes on with it."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            self._child.wait()

    def _child_is_busy(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def _look(self) -> None:
        stale = [index for index in (self._data.jobs, self._data.images) if index.needs_repair()]
        if any(index.is_large_repair(_SMALL) for index in stale):
            if not any(index.is_being_repaired() for index in stale):
                self._child = _start_child(self._data.layout.data)
            return
        for index in stale:
            index.repair()
            index.file.checkpoint()

    def _shrink_logs(self) -> None:
        for index in (self._data.jobs, self._data.images):
            if index.file.log_bytes() > LOG_LIMIT:
                index.file.checkpoint()


def _start_child(data: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "service.maintenance", str(data.absolute())]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)


def repair(data: Data, *, rebuild: bool = False) -> int:
    """Repair (or rebuild) both indexes; returns how many entries were wrong. Raises IndexUnavailable, OSError."""
    wrong = 0
    for index in (data.jobs, data.images):
        if rebuild:
            index.rebuild()
        else:
            wrong += index.repair()
        index.file.checkpoint()
    return wrong


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m service.maintenance", description="Repair the derived indexes, or verify images."
    )
    parser.add_argument("data", type=Path, help="the data directory")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--rebuild", action="store_true", help="build them again, from the files alone")
    group.add_argument("--verify", action="store_true", help="compare every image with its checksum instead")
    options = parser.parse_args()
    os.nice(5)  # whoever answers requests comes first
    data = open_data(Settings(data=options.data))
    try:
        if options.verify:
            sys.exit(_verify(data))
        repair(data, rebuild=options.rebuild)
    except (IndexUnavailable, OSError) as error:
        sys.exit(f"The maintenance of {options.data} failed: {error}")


def _verify(data: Data) -> str | None:
    """Compare every image with its checksum; a sentence if any is damaged."""
    damaged = Scrub(data).run()
    if not damaged:
        return None
    return f"{damaged} images are damaged; {data.layout.damaged} has a file for each that says why."


if __name__ == "__main__":
    main()
