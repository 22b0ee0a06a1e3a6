"""Keeps the derived indexes equal to the files, and finishes deletions, whatever a crash or a person did.

Any number of processes may keep one `Maintenance` each and call `tick` as often as they like: the API's
workers and the runner's supervisor do. Work is done by one process at a time. A tick costs a few
`stat` calls; small repairs are made at once, large ones by a child process, so that nobody waits.

    python -m service.maintenance DATA [--rebuild]

repairs or rebuilds the indexes of a data directory on request, while the programs run.
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
from service.data import Data, open_data

logger = logging.getLogger(__name__)

#: Seconds between two looks at the directories. What a person changes shows within twice that time.
INTERVAL: Final = 4.0
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
        self._child: subprocess.Popen[bytes] | None = None

    def tick(self) -> None:
        """Look whether something is to be done, at most once per `INTERVAL`. Never raises for the index's sake."""
        if self._now() < self._due or self._child_is_busy():
            return
        self._due = self._now() + INTERVAL
        try:
            self._finish_deletions()
            self._look()
        except (IndexUnavailable, OSError) as error:
            logger.warning("The indexes could not be compared with the files: %s", error)

    def _finish_deletions(self) -> None:
        try:
            self._data.store.finish_deletions()
        except OSError as error:
            logger.warning("Images that are being deleted could not be removed whole: %s", error)

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


def _start_child(data: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "service.maintenance", str(data.absolute())]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)


def repair(data: Data, *, rebuild: bool = False) -> int:
    """Repair (or rebuild) both indexes; answers how many entries were wrong. Raises IndexUnavailable, OSError."""
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
    parser = argparse.ArgumentParser(prog="python -m service.maintenance", description="Repair the derived indexes.")
    parser.add_argument("data", type=Path, help="the data directory")
    parser.add_argument("--rebuild", action="store_true", help="build them anew, from the files alone")
    options = parser.parse_args()
    os.nice(5)  # whoever answers requests comes first
    try:
        repair(open_data(Settings(data=options.data)), rebuild=options.rebuild)
    except (IndexUnavailable, OSError) as error:
        sys.exit(f"The indexes of {options.data} could not be repaired: {error}")


if __name__ == "__main__":
    main()
