"""The rate limit: exact over all workers and restarts, and only accepted jobs count.

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
from pathlib import Path
from typing import Final

from core.errors import StorageUnavailable
from core.settings import RateLimit
from service.errors import RateLimited

logger = logging.getLogger(__name__)

_BUSY_SECONDS: Final = 5.0
_PERIODS: Final = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}
_BROKEN: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS charge (id INTEGER PRIMARY KEY, client TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS by_client ON charge (client, at);
CREATE INDEX IF NOT EXISTS by_time ON charge (at);
CREATE TABLE IF NOT EXISTS refused (one INTEGER PRIMARY KEY CHECK (one = 1), n INTEGER NOT NULL);
INSERT OR IGNORE INTO refused VALUES (1, 0);
"""


class RateLimiter:
    """Counts accepted jobs per client in the file `path`. `now` is in seconds since the epoch.

    Opens the file for each charge (0.1 ms): nothing is held over a fork, and any thread may call.
    """

    def __init__(self, path: Path, limit: RateLimit | None, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._limit = limit
        self._now = now

    def charge(self, client: str) -> int | None:
        """Count one job of `client`; answers a receipt for `refund`, None where there is no limit.

        Raises RateLimited, and StorageUnavailable if the count cannot be kept.
        """
        if self._limit is None:
            return None
        now = self._now()
        with self._transaction() as database:
            _forget_old(database, now, self._limit)
            free_at = _free_at(database, client, self._limit)
            if free_at is None:
                return _insert(database, client, now)
            database.execute("UPDATE refused SET n = n + 1")
        raise RateLimited(self._limit.amount, period(self._limit), max(1.0, free_at - now))

    def refund(self, receipt: int | None) -> None:
        """Take a charge back, because its job was not accepted."""
        if receipt is not None:
            with self._transaction() as database:
                database.execute("DELETE FROM charge WHERE id = ?", (receipt,))

    def refused(self) -> int:
        """How many requests were refused, by all workers since the file began."""
        if self._limit is None:
            return 0
        with self._transaction() as database:
            (count,) = database.execute("SELECT n FROM refused").fetchone()
        return int(count)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connection() as database:
                database.execute("BEGIN IMMEDIATE")
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
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'refused'").fetchone():
                connection.executescript(_TABLE)
            yield connection
        finally:
            connection.close()  # rolls back what was not committed

    def _discard_if_broken(self, error: sqlite3.Error) -> None:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN:
            logger.error("%s is damaged and begins anew: %s", self._path, error)
            for suffix in ("", "-journal"):
                Path(f"{os.fspath(self._path)}{suffix}").unlink(missing_ok=True)


def _forget_old(database: sqlite3.Connection, now: float, limit: RateLimit) -> None:
    # After the clock was set back, charges lie in the future: they count for one window, not for ever.
    database.execute("UPDATE charge SET at = ? WHERE at > ?", (now, now))
    database.execute("DELETE FROM charge WHERE at <= ?", (now - limit.seconds,))


def _free_at(database: sqlite3.Connection, client: str, limit: RateLimit) -> float | None:
    """When the client may submit again; None if it may now."""
    query = "SELECT at FROM charge WHERE client = ? ORDER BY at DESC LIMIT 1 OFFSET ?"
    row = database.execute(query, (client, limit.amount - 1)).fetchone()
    return None if row is None else row[0] + limit.seconds


def _insert(database: sqlite3.Connection, client: str, now: float) -> int:
    row = database.execute("INSERT INTO charge (client, at) VALUES (?, ?)", (client, now)).lastrowid
    return int(row or 0)


def period(limit: RateLimit) -> str:
    """The window in words, `hour`."""
    return _PERIODS.get(limit.seconds, f"{limit.seconds} seconds")
