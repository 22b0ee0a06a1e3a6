"""The file behind an index: readers and writers while other processes replace it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import IndexUnavailable
from core.sqlite_connections import BUSY_SECONDS, LOG_LIMIT
from core.sqlite_index import IndexFile
from tests.programs import wait_until

VERSION = 7


def build(value: int) -> Callable[[sqlite3.Connection], None]:
    """What fills a generation: one row with this value."""

    def fill(database: sqlite3.Connection) -> None:
        database.execute("CREATE TABLE thing (value INTEGER NOT NULL)")
        database.execute("CREATE TABLE filler (content BLOB NOT NULL)")
        database.execute("INSERT INTO thing VALUES (?)", (value,))

    return fill


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the first generation lies; its row is 1."""
    path = tmp_path / "index.sqlite3"
    IndexFile(path, VERSION).publish(build(1))
    return path


def read(file: IndexFile) -> int:
    """The value of the row."""
    with file.read() as database:
        return int(database.execute("SELECT value FROM thing").fetchone()[0])


def replaced_while_opened(path: Path, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another process publish a generation between the opening of a file and the first use of it."""
    connect, left = sqlite3.connect, [times]

    def slow_connect(database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(database, *arguments, **options)
        if options.get("uri") and left[0]:
            left[0] -= 1
            IndexFile(path, VERSION).publish(build(2))
        return connection

    monkeypatch.setattr("core.sqlite_connections.sqlite3.connect", slow_connect)


def test_a_generation_that_is_replaced_while_it_is_opened_is_opened_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced_while_opened(path, 2, monkeypatch)
    assert read(IndexFile(path, VERSION)) == 2


def test_a_write_goes_to_the_generation_that_is_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced_while_opened(path, 2, monkeypatch)
    with IndexFile(path, VERSION).write() as database:
        database.execute("UPDATE thing SET value = 3")
    assert read(IndexFile(path, VERSION)) == 3


def test_an_index_that_never_stays_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced_while_opened(path, 100, monkeypatch)
    with pytest.raises(IndexUnavailable, match="again and again"):
        read(IndexFile(path, VERSION))


def test_damage_of_an_old_generation_does_not_take_the_new_one_away(path: Path) -> None:
    file = IndexFile(path, VERSION)
    meet_damage(file, before=lambda: IndexFile(path, VERSION).publish(build(2)))
    assert read(file) == 2
    meet_damage(file)
    assert file.must_rebuild()


def fill_log(file: IndexFile) -> None:
    """A burst of writes."""
    for _ in range(120):
        with file.write() as database:
            database.execute("INSERT INTO filler VALUES (zeroblob(50000))")


@pytest.mark.parametrize("long_reader", [False, True])
def test_the_log_shrinks_after_a_burst_while_readers_go_on(path: Path, long_reader: bool) -> None:
    file, ended = IndexFile(path, VERSION), threading.Event()

    def read_on() -> None:
        while not ended.is_set():
            read(IndexFile(path, VERSION))

    readers = [threading.Thread(target=read_on) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        with file.read() as database:  # one that holds its view of the past
            if long_reader:
                database.execute("BEGIN")
                database.execute("SELECT count(*) FROM thing").fetchone()
            fill_log(file)
            assert file.log_bytes() > 4 * LOG_LIMIT
            if long_reader:
                began = time.monotonic()
                file.checkpoint()
                assert time.monotonic() - began < BUSY_SECONDS, "writers must not wait for readers"
                assert file.log_bytes() > 4 * LOG_LIMIT
                database.execute("COMMIT")
        wait_until(lambda: (file.checkpoint(), file.log_bytes() <= LOG_LIMIT)[1], about="the log to shrink")
    finally:
        ended.set()
        for reader in readers:
            reader.join()
    fill_log(file)
    with file.write() as database:
        assert database.execute("PRAGMA busy_timeout").fetchone() == (BUSY_SECONDS * 1000,)


def meet_damage(file: IndexFile, before: Callable[[], None] = lambda: None) -> None:
    """Read, and let SQLite find the file damaged."""

    def meet() -> None:
        with file.read():
            before()
            raise damage()

    with pytest.raises(IndexUnavailable):
        meet()


def damage() -> sqlite3.DatabaseError:
    """What SQLite says of a damaged file."""
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
