"""Connections to the present generation of an index, while other processes replace it (see `sqlite_index`)."""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from core.errors import IndexUnavailable

#: How long a statement waits for another writer, in seconds. Transactions here last milliseconds.
BUSY_SECONDS: Final = 1.0
#: Bytes that a log keeps once it has been copied back.
LOG_LIMIT: Final = 1 << 20
#: How often an index is opened that is replaced in the moment of opening; a rebuild takes much longer than that.
_OPENINGS: Final = 5
#: Connections inherited over a fork. Closing one would touch files that the parent uses.
_inherited: list[object] = []

#: Device and inode of a file.
Identity = tuple[int, int]


class Connection(sqlite3.Connection):
    """A connection that may remember results."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.version = -1
        #: What holds until anybody changes the database.
        self.memory: dict[object, Any] = {}
        #: What its users keep right by themselves.
        self.notes: dict[object, Any] = {}


class Connections:
    """Idle connections of this process to the present generation. Any thread or greenlet may take one."""

    def __init__(
        self, path: Path, version: int, failed: Callable[[sqlite3.Error, Identity], None], *, read_only: bool
    ) -> None:
        self._path = path
        self._version = version
        self._failed = failed
        self._mode = "ro" if read_only else "rw"
        self._process = os.getpid()
        self._idle: deque[tuple[Identity, sqlite3.Connection]] = deque()

    @contextmanager
    def borrow(self) -> Iterator[sqlite3.Connection]:
        """A connection for one piece of work; raises IndexUnavailable, also for every error of SQLite."""
        identity, connection = self._connect()
        try:
            yield connection
        except sqlite3.Error as error:
            connection.close()
            raise self._unavailable(error, identity) from error
        except BaseException:
            connection.close()
            raise
        self._idle.append((identity, connection))

    def _connect(self) -> tuple[Identity, sqlite3.Connection]:
        """A connection to the present generation, and which file that is.

        A rebuild may swap the generation, and remove the files of the old one, while it is being opened. Then what
        was opened may lack its log, so nothing that it says counts.
        """
        for _ in range(_OPENINGS):
            identity = identity_of(self._path)
            if identity is None:
                raise IndexUnavailable("The index is being built.")
            try:
                connection = self._take(identity) or self._open()
            except sqlite3.Error as error:
                if identity_of(self._path) == identity:
                    raise self._unavailable(error, identity) from error
                continue
            if identity_of(self._path) == identity:
                return identity, connection
            connection.close()
        raise IndexUnavailable("The index is being replaced again and again.")

    def _unavailable(self, error: sqlite3.Error, identity: Identity) -> IndexUnavailable:
        self._failed(error, identity)
        return IndexUnavailable(f"The index cannot be used now: {error}.")

    def _take(self, identity: Identity) -> sqlite3.Connection | None:
        if self._process != os.getpid():
            _inherited.append(self._idle)
            self._idle, self._process = deque(), os.getpid()
        while self._idle:
            known, connection = self._idle.pop()
            if known == identity:
                return connection
            connection.close()
        return None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={self._mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
        try:
            self._check_version(connection)
            # The log is copied back by the maintenance, so that no job waits for that; without one, at 80 MB.
            connection.execute("PRAGMA wal_autocheckpoint = 20000")
            connection.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_version(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found != self._version:
            raise _WrongVersion(f"the index has version {found}, this program reads {self._version}")


class _WrongVersion(sqlite3.DatabaseError):
    """An index of another version."""

    sqlite_errorcode = sqlite3.SQLITE_NOTADB


def identity_of(path: Path) -> Identity | None:
    """Which file the name leads to; None where it leads nowhere."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
