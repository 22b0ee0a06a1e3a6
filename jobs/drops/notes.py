"""Why files stay in `incoming/`: said once in the log and in a record in `rejected/`, which goes when they do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path

from jobs.drops.rejected import RejectedFolder
from jobs.drops.zone import Drop, PerFileState

logger = logging.getLogger(__name__)


class Notes:
    """What was said about files that stay. After a restart it is said once more; the records are the same."""

    def __init__(self, rejected: RejectedFolder, quiet_seconds: float, monotonic: Callable[[], float]) -> None:
        self._rejected = rejected
        self._quiet_seconds = quiet_seconds
        self._monotonic = monotonic
        #: Since when a file that is not called as a job must be has been as it is.
        self._strangers: PerFileState[float] = PerFileState()
        #: The record of a file, or its text if no record could be written.
        self._said: PerFileState[Path | str] = PerFileState()

    def put(self, drop: Drop, message: str) -> None:
        """Log and record, once, why a drop stays."""
        if self._said.get(drop) is not None:
            return
        logger.warning("The dropped file %s: %s", ascii(drop.name), message)
        try:
            self._said.put(drop, self._rejected.note(drop.path, message))
        except OSError as error:  # the log line must do
            logger.warning("No record of it can be written: %s", error)
            self._said.put(drop, message)

    def leave_alone(self, drop: Drop) -> None:
        """Say so if the file stays under this name; most such files are renamed to their real name, or are none."""
        since = self._strangers.get(drop)
        if since is None:
            self._strangers.put(drop, self._monotonic())
        elif self._monotonic() - since >= self._quiet_seconds:
            self.put(
                drop,
                "Only files called *.json are taken as jobs, with the pictures that they name, and *.cancel as "
                "requests to cancel one; this file was left where it is. If it is a job, rename it.",
            )

    def clear(self, drop: Drop) -> None:
        """Remove the record of a drop that is dealt with now."""
        _remove(self._said.pop(drop))

    def keep_only(self, names: AbstractSet[str]) -> None:
        """Remove the records of files that are gone: taken away, or called otherwise by now."""
        self._strangers.keep_only(names)
        for note in self._said.keep_only(names):
            _remove(note)


def _remove(note: Path | str | None) -> None:
    if isinstance(note, Path):
        with suppress(OSError):  # an old record harms nobody
            note.unlink()
