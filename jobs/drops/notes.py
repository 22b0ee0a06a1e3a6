"""Why files stay in `incoming/`: said once in the log and in a record in `rejected/`, which goes when they do."""

from __future__ import annotations

import logging
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path

from jobs.drops.rejected import RejectedFolder
from jobs.drops.zone import Drop, PerFileState

logger = logging.getLogger(__name__)


class Notes:
    """What was said about files that stay. After a restart it is said once more; the records are the same."""

    def __init__(self, rejected: RejectedFolder) -> None:
        self._rejected = rejected
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

    def clear(self, drop: Drop) -> None:
        """Remove the record of a drop that is dealt with now."""
        _remove(self._said.pop(drop))

    def keep_only(self, names: AbstractSet[str]) -> None:
        """Remove the records of files that are gone: taken away, or called otherwise by now."""
        for note in self._said.keep_only(names):
            _remove(note)


def _remove(note: Path | str | None) -> None:
    if isinstance(note, Path):
        with suppress(OSError):  # an old record harms nobody
            note.unlink()
