"""What the derived indexes of jobs and of images share: repair and rebuild from the directories.

An index remembers, per directory, when the directory had last changed as the two were compared. A
directory with another time is compared again, name by name.
"""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from core import locks
from core.errors import IndexUnavailable
from core.sqlite_index import IndexFile

#: Entries put right in one transaction; others wait for it, so it must take milliseconds.
_BATCH: Final = 100
#: A directory changed so recently may change again within the clock tick of the file system.
_SETTLED_NS: Final = 100_000_000
#: Every index has this table.
FOLDERS: Final = "CREATE TABLE folder (name TEXT PRIMARY KEY, changed INTEGER NOT NULL) WITHOUT ROWID;"


class DerivedIndex(ABC):
    """An index that can be deleted at any time. Reading raises IndexUnavailable until `repair` has made it."""

    def __init__(self, path: Path, version: int) -> None:
        self.file = IndexFile(path, version)
        self._lock_path = Path(f"{path}.lock")

    # --- What an index knows of its directories ---------------------------------------------

    @abstractmethod
    def fill(self, database: sqlite3.Connection) -> None:
        """Make the tables in an empty database and load everything from the directories."""

    @abstractmethod
    def folders(self) -> dict[str, int]:
        """The directories, by name, and when each last changed (ns since the epoch)."""

    @abstractmethod
    def names(self, folder: str) -> Iterator[str]:
        """The ids of what lies in a directory."""

    @abstractmethod
    def known_names(self, database: sqlite3.Connection, folder: str) -> set[str]:
        """The ids that the index has for a directory."""

    @abstractmethod
    def known_sizes(self, database: sqlite3.Connection) -> dict[str, int]:
        """How many entries the index has for each directory of which it has any."""

    @abstractmethod
    def correct(self, database: sqlite3.Connection, name: str) -> None:
        """Write what the files say now about one id."""

    def finish(self) -> None:  # noqa: B027 - most have nothing to do
        """What remains to be done after the entries are right."""

    def is_finished(self, database: sqlite3.Connection) -> bool:
        """Whether nothing of `finish` remains."""
        return True

    # --- Repair -----------------------------------------------------------------------------

    def needs_repair(self) -> bool:
        """Whether the index is missing or a directory changed since it was compared; one stat per directory.

        Raises IndexUnavailable where the index is there but cannot be read now.
        """
        if self.file.must_rebuild():
            return True
        with self.file.read() as database:
            return bool(self._changed(database)) or not self.is_finished(database)

    def is_large_repair(self, limit: int) -> bool:
        """Whether a repair would have to look at more than `limit` names."""
        try:
            with self.file.read() as database:
                sizes = self.known_sizes(database)
                if not self.is_finished(database):
                    return sum(sizes.values()) > limit
                return sum(sizes.get(folder, 0) for folder in self._changed(database)) > limit
        except IndexUnavailable:
            everything = (name for folder in self.folders() for name in self.names(folder))
            return sum(1 for _ in islice(everything, limit + 1)) > limit

    def is_being_repaired(self) -> bool:
        """Whether some process repairs this index now."""
        return locks.is_locked(self._lock_path)

    def repair(self) -> int:
        """Make the index equal to the directories; returns how many entries were wrong.

        Builds the index where it is missing or broken. Does nothing while another process repairs.
        Raises IndexUnavailable where it cannot be written now, OSError where a directory cannot be read.
        """
        lock = locks.ExclusiveLock(self._lock_path)
        if not lock.acquire():
            return 0
        try:
            if self.file.must_rebuild():
                self._rebuild()
            wrong = self._compare()
            self.finish()
            return wrong
        finally:
            lock.release()

    def rebuild(self) -> None:
        """Build the index again, whatever state it is in; waits for another repair to end. Raises as `repair`."""
        lock = locks.ExclusiveLock(self._lock_path)
        lock.acquire(timeout=-1)
        try:
            self._rebuild()
            self._compare()
            self.finish()
        finally:
            lock.release()

    def _rebuild(self) -> None:
        try:
            self.file.publish(self.fill)
        except sqlite3.Error as error:
            raise IndexUnavailable(f"The index could not be built: {error}.") from error

    def _changed(self, database: sqlite3.Connection) -> dict[str, int]:
        """Directories that changed since they were compared, and when (0 for one that is gone)."""
        seen = dict(database.execute("SELECT name, changed FROM folder").fetchall())
        present = self.folders()
        gone = (seen.keys() | self.known_sizes(database).keys()) - present.keys()
        return {name: moment for name, moment in present.items() if seen.get(name) != moment} | dict.fromkeys(gone, 0)

    def _compare(self) -> int:
        with self.file.read() as database:
            changed = self._changed(database)
        now = time.time_ns()
        wrong = sorted({name for folder in changed for name in self._differences(folder)})
        for start in range(0, len(wrong), _BATCH):
            self.correct_all(wrong[start : start + _BATCH])
        with self.file.write() as database:
            database.executemany("DELETE FROM folder WHERE name = ?", ((name,) for name in changed))
            settled = [(name, at) for name, at in changed.items() if at and abs(now - at) > _SETTLED_NS]
            database.executemany("INSERT INTO folder VALUES (?, ?)", settled)
        return len(wrong)

    def _differences(self, folder: str) -> set[str]:
        """The ids that are only in the directory or only in the index."""
        with self.file.read() as database:
            known = self.known_names(database, folder)
        return known.symmetric_difference(self.names(folder))

    def correct_all(self, names: Iterable[str]) -> None:
        """Write what the files say now; under the write lock, so that a later change is written later."""
        with self.file.write() as database:
            for name in names:
                self.correct(database, name)
