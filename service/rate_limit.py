"""The rate limits: exact over all workers and restarts, and only accepted requests count.

There is one for jobs, and one for prompts that are sent on to a language model server, which may cost money.
A charge is a row in a small SQLite file, made in a transaction before the job is stored and taken
back if that fails. The window moves: at no moment lie more than `amount` charges within the last
`seconds`. (The `limits` package has no storage that is exact over processes without a server, and
no way to take a hit back.)
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

from core.errors import StorageUnavailable
from core.settings import RateLimit
from service.errors import RateLimited

logger = logging.getLogger(__name__)

_BUSY_SECONDS: Final = 5.0
_PERIODS: Final = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}
_BROKEN: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
#: The first version counted jobs only, and had neither a number nor a column for the kind.
_VERSION: Final = 2
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS charge (id INTEGER PRIMARY KEY, client TEXT NOT NULL, at REAL NOT NULL)",
    "ALTER TABLE charge ADD COLUMN kind TEXT NOT NULL DEFAULT 'jobs'",
    "DROP INDEX IF EXISTS by_client",
    "DROP INDEX IF EXISTS by_time",
    "CREATE INDEX by_client ON charge (kind, client, at)",
    "CREATE INDEX by_time ON charge (kind, at)",
    "DROP TABLE IF EXISTS refused",
    "CREATE TABLE refused (kind TEXT PRIMARY KEY, n INTEGER NOT NULL)",
    f"PRAGMA user_version = {_VERSION}",
)


class Limited(StrEnum):
    """What is limited, and counted apart from the others."""

    JOBS = "jobs"
    FORWARDED_PROMPTS = "forwarded prompts"
    INPUTS = "pictures"


class RateLimiter:
    """Counts accepted requests of a `kind` per client in the file `path`. `now` is in seconds since the epoch.

    Opens the file for each charge (0.1 ms): nothing is held over a fork, and any thread may call.
    """

    def __init__(
        self,
        path: Path,
        limit: RateLimit | None,
        now: Callable[[], float] = time.time,
        *,
        kind: Limited = Limited.JOBS,
    ) -> None:
        self._path = path
        self._limit = limit
        self._now = now
        self._kind = kind

    def charge(self, client: str, *, is_own_machine: bool = False) -> int | None:
        """Count one request of `client`; returns a receipt for `refund`, None where there is no limit.

        Raises RateLimited, and StorageUnavailable if the count cannot be kept.
        """
        if self._limit is None or (is_own_machine and self._limit.others_only):
            return None
        now = self._now()
        with self._transaction() as database:
            self._forget_old(database, now, self._limit)
            free_at = self._free_at(database, client, self._limit)
            if free_at is None:
                return self._insert(database, client, now)
            database.execute(
                "INSERT INTO refused VALUES (?, 1) ON CONFLICT (kind) DO UPDATE SET n = n + 1", (self._kind,)
            )
        raise RateLimited(self._limit.amount, self._kind, period(self._limit), max(1.0, free_at - now))

    def refund(self, receipt: int | None) -> None:
        """Take a charge back, because its request was not accepted."""
        if receipt is not None:
            with self._transaction() as database:
                database.execute("DELETE FROM charge WHERE id = ?", (receipt,))

    def refused(self) -> int:
        """How many requests were refused, by all workers since the file began."""
        if self._limit is None:
            return 0
        with self._transaction() as database:
            row = database.execute("SELECT n FROM refused WHERE kind = ?", (self._kind,)).fetchone()
        return 0 if row is None else int(row[0])

    def _forget_old(self, database: sqlite3.Connection, now: float, limit: RateLimit) -> None:
        # After the clock was set back, charges lie in the future: they count for one window, not permanently.
        database.execute("UPDATE charge SET at = ? WHERE kind = ? AND at > ?", (now, self._kind, now))
        database.execute("DELETE FROM charge WHERE kind = ? AND at <= ?", (self._kind, now - limit.seconds))

    def _free_at(self, database: sqlite3.Connection, client: str, limit: RateLimit) -> float | None:
        """When the client may ask again; None if it may now."""
        query = "SELECT at FROM charge WHERE kind = ? AND client = ? ORDER BY at DESC LIMIT 1 OFFSET ?"
        row = database.execute(query, (self._kind, client, limit.amount - 1)).fetchone()
        return None if row is None else row[0] + limit.seconds

    def _insert(self, database: sqlite3.Connection, client: str, now: float) -> int:
        query = "INSERT INTO charge (kind, client, at) VALUES (?, ?, ?)"
        return int(database.execute(query, (self._kind, client, now)).lastrowid or 0)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connection() as database:
                database.execute("BEGIN IMMEDIATE")
                _make_tables(database)
                yield database
                database.execute("COMMIT")
        except sqlite3.Error as error:
            self._discard_if_broken(error)
            raise StorageUnavailable(f"The rate limit cannot be counted now: {error}.") from error

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            # Lost with the power at worst; syncing would cost more than storing the job.
            connection.execute("PRAGMA synchronous = OFF")
            yield connection
        finally:
            connection.close()  # rolls back what was not committed

    def _discard_if_broken(self, error: sqlite3.Error) -> None:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN:
            logger.error("%s is damaged and is begun again: %s", self._path, error)
            for suffix in ("", "-journal"):
                Path(f"{os.fspath(self._path)}{suffix}").unlink(missing_ok=True)


def _make_tables(database: sqlite3.Connection) -> None:
    """Within a transaction, so that of several processes one makes them."""
    if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
        for statement in _TABLES:
            database.execute(statement)


def period(limit: RateLimit) -> str:
    """The window in words, `hour`."""
    return _PERIODS.get(limit.seconds, f"{limit.seconds} seconds")
