"""Whether a job that is sent now could be stored and drawn, found out by trying rather than by asking."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from core import data_directory, files
from core.errors import StorageUnavailable
from core.layout import Layout
from jobs.runner_status import Runner
from jobs.schema import State
from jobs.spool import Spool

#: Seconds for which a probe of the disk is good enough: anybody may ask, and each probe costs a sync.
_FRESH: Final = 1.0
#: A runner writes its status every 5 seconds; one that has not for this long (seconds) cannot.
_LONGEST_SILENCE: Final = 30.0


class DataMissing(StorageUnavailable):
    """The data directory, or a folder of it, is missing; `path` is for the log alone."""

    def __init__(self, path: Path) -> None:
        super().__init__("The data directory is not there; perhaps its volume is not mounted.")
        self.path = path


def missing_data(layout: Layout) -> DataMissing | None:
    """What to answer while the data directory, or a folder of it, is missing; None if it is there."""
    missing = data_directory.missing(layout, layout.folders(tuple(State)))
    return None if missing is None else DataMissing(missing)


class StorageCheck:
    """Tries what storing a job does. `now` is a monotonic clock in seconds."""

    def __init__(self, spool: Spool, now: Callable[[], float] = time.monotonic) -> None:
        self._spool = spool
        self._now = now
        self._found: tuple[float, str] = (float("-inf"), "")

    def trouble(self) -> str:
        """A sentence on why no job could be stored; empty if one could. May wait for the disk."""
        moment, found = self._found
        if self._now() - moment >= _FRESH:
            found = self._probe()
            self._found = (self._now(), found)
        return found

    def _probe(self) -> str:
        try:
            files.check_writable(self._spool.layout.temporary)
            return "" if self._spool.has_disk_space() else "Less free space is left than the reserve."
        except OSError as error:
            return f"The data directory cannot be written: {error.strerror}."


class SilenceWatch:
    """Tells which living runners no longer report, as where their status files cannot be written.

    What counts is how long the same report has been seen here, so no step of the clock can make a runner look
    silent. `now` is a monotonic clock in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        #: The time of the last report of each device, and since when it has been the last.
        self._seen: dict[str, tuple[str | None, float]] = {}

    def trouble(self, runner: Runner) -> str:
        """A sentence on a runner that lives and reports nothing; empty for one that does report."""
        reported = runner.status.updated_at if runner.status is not None else None
        last, since = self._seen.get(runner.device, (None, None))
        if since is None or reported != last:
            self._seen[runner.device] = (reported, self._now())
            return ""
        seconds = self._now() - since
        if seconds < _LONGEST_SILENCE:
            return ""
        return (
            f"The runner for {runner.device} has reported nothing for {seconds:.0f} seconds; "
            "perhaps it cannot write its status file."
        )
