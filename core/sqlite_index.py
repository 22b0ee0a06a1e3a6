"""A derived index in one SQLite file: disposable, shared by all processes, rebuilt when it is no good.

The name of the index is a symbolic link to the file of the present generation. A rebuild writes a new
file and swaps the link. SQLite derives the names of its log files from the real file, so the log of an
old generation can never be replayed into a new one; renaming a database over another would risk that.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from uuid import uuid4

from core import rights
from core.errors import IndexUnavailable
from core.sqlite_connections import BUSY_SECONDS, LOG_LIMIT, Connection, Connections, Identity, identity_of

logger = logging.getLogger(__name__)

#: After a failed write, writes are skipped for so long (seconds): a stuck index must not slow down jobs.
PAUSE_SECONDS: Final = 1.0
#: The file is no database, is damaged, or has a shape that is not ours: only a rebuild helps.
_BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT})
#: How long emptying a log may wait for readers, and hold up writers, in milliseconds.
_TRUNCATE_MS: Final = 50
#: Results that one connection remembers.
_MEMORY: Final = 200

Value = TypeVar("Value")


def cached_until_write(database: sqlite3.Connection, key: object, compute: Callable[[], Value]) -> Value:
    """The value of `compute()`, kept until anything in the database changes. For connections that only read."""
    if not isinstance(database, Connection):
        return compute()
    (version,) = database.execute("PRAGMA data_version").fetchone()
    if version != database.version or len(database.memory) >= _MEMORY:
        database.memory.clear()
        database.version = version
    if key not in database.memory:
        database.memory[key] = compute()
    return cast("Value", database.memory[key])


def sticky_cache(database: sqlite3.Connection) -> dict[object, Any]:
    """Results that are kept over changes of the database; whoever reads one must know what has changed since."""
    if not isinstance(database, Connection):
        return {}
    if len(database.notes) >= _MEMORY:
        database.notes.clear()
    return database.notes


def run_script(database: sqlite3.Connection, script: str) -> None:
    """Run several statements within the present transaction, which `executescript` would end."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            database.execute(statement)
            statement = ""
    if statement.strip():
        raise ValueError(f"an unfinished statement: {statement!r}")


class IndexFile:
    """The SQLite file behind an index: reads, writes, and the swap to a new generation.

    Holds nothing open until first used, so it may be made before a fork.
    """

    def __init__(self, path: Path, version: int) -> None:
        self.path = path
        self._version = version
        self._readers = Connections(path, version, self._note, read_only=True)
        self._writers = Connections(path, version, self._note, read_only=False)
        self._broken: Identity | None = None
        self._paused_until = 0.0

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection; every error of SQLite becomes IndexUnavailable."""
        with self._readers.borrow() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that has the write lock from its start; raises IndexUnavailable."""
        if time.monotonic() < self._paused_until:
            raise IndexUnavailable("The index could not be written a moment ago.")
        try:
            with self._writers.borrow() as connection, _transaction(connection):
                yield connection
        except IndexUnavailable:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            raise

    def is_usable(self) -> bool:
        """Whether there is an index of the right version in which no damage was met."""
        try:
            with self.read():
                return self._broken != identity_of(self.path)
        except IndexUnavailable:
            return False

    def must_rebuild(self) -> bool:
        """Whether only a rebuild helps; False where the index is merely busy or the disk is full."""
        if self.is_usable():
            return False
        identity = identity_of(self.path)
        return identity is None or identity == self._broken

    def checkpoint(self) -> None:
        """Copy the log back into the file as far as readers allow, and empty it if it has grown and nobody uses it.

        Writers are held up for `_TRUNCATE_MS` at most: where readers overlap, the next call has another try.
        """
        mode = "TRUNCATE" if self.log_bytes() > LOG_LIMIT else "PASSIVE"
        with self._writers.borrow() as connection:
            connection.execute(f"PRAGMA busy_timeout = {_TRUNCATE_MS}")
            connection.execute(f"PRAGMA wal_checkpoint({mode})")  # a log in use is no error
            connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")

    def log_bytes(self) -> int:
        """How large the log of the present generation is; it holds what was not copied back yet, and old space."""
        try:
            return os.stat(f"{os.path.realpath(self.path)}-wal").st_size
        except OSError:
            return 0

    def publish(self, build: Callable[[sqlite3.Connection], None]) -> None:
        """Let `build` fill a new file and put it in the place of the old. Raises sqlite3.Error, OSError.

        The caller holds the lock that admits one rebuild at a time.
        """
        draft = self.path.with_name(f"{self.path.stem}.{uuid4().hex}.sqlite3")
        try:
            _build(draft, self._version, build)
            _point_to(self.path, draft)
        except BaseException:
            _remove_database(draft)
            raise
        self._paused_until = 0.0
        self._sweep(draft)

    def _sweep(self, present: Path) -> None:
        """Remove the files of earlier generations; those who have them open keep them until they notice."""
        for path in self.path.parent.glob(f"{self.path.stem}.*.sqlite3"):
            if path != present:
                _remove_database(path)

    def _note(self, error: sqlite3.Error, identity: Identity) -> None:
        """Take a broken index out of the way, so that every process sees that it must be rebuilt.

        `identity` is the file that was in use; if another process has replaced it since, there is nothing to do.
        """
        if not _is_broken(error) or identity_of(self.path) != identity:
            return
        logger.warning("The index %s must be rebuilt: %s", self.path, error)
        self._broken = identity
        with suppress(OSError):  # a read-only disk; then this process alone knows
            self.path.unlink()


def _is_broken(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return code in _BROKEN or (code == sqlite3.SQLITE_ERROR and str(error).startswith("no such"))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):  # the first error is the one to report
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _build(draft: Path, version: int, build: Callable[[sqlite3.Connection], None]) -> None:
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -65536"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        build(connection)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    draft.chmod(rights.file_mode(draft.parent))
    _sync_file(draft)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _point_to(path: Path, target: Path) -> None:
    link = target.with_suffix(".link")
    link.symlink_to(target.name)
    try:
        os.rename(link, path)
    except OSError:
        link.unlink()
        raise


def _remove_database(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
