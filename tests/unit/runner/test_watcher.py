"""The watcher: rings for what matters, survives its limits, and notices a replaced folder."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog.observers import Observer

from jobs.spool import Spool
from runner.wake import WakePipe
from runner.watcher import Watcher


@pytest.fixture
def rung() -> threading.Event:
    return threading.Event()


@pytest.fixture
def watcher(spool: Spool, rung: threading.Event) -> Iterator[Watcher]:
    watcher = Watcher({spool.bell: rung.set, spool.incoming: rung.set})
    watcher.check()
    yield watcher
    watcher.stop()


@pytest.mark.parametrize("way", ["bell", "write", "move", "link"])
def test_it_rings(spool: Spool, watcher: Watcher, rung: threading.Event, tmp_path: Path, way: str) -> None:
    source = tmp_path / "castle.json"
    source.write_text("{}", encoding="utf-8")
    if way == "bell":
        spool.ring()
    elif way == "write":
        (spool.incoming / "castle.json").write_text("{}", encoding="utf-8")
    elif way == "move":
        os.rename(source, spool.incoming / "castle.json")
    else:
        os.link(source, spool.incoming / "castle.json")
    assert rung.wait(30)


def test_a_replaced_folder_is_watched_anew(spool: Spool, watcher: Watcher, rung: threading.Event) -> None:
    os.rename(spool.incoming, spool.root / "old")
    spool.incoming.mkdir()
    watcher.check()
    rung.clear()
    (spool.incoming / "castle.json").write_text("{}", encoding="utf-8")
    assert rung.wait(30)


def test_a_folder_that_is_gone_is_watched_when_it_is_back(
    spool: Spool, watcher: Watcher, rung: threading.Event
) -> None:
    spool.incoming.rmdir()
    watcher.check()
    spool.incoming.mkdir()
    watcher.check()
    rung.clear()
    (spool.incoming / "castle.json").write_text("{}", encoding="utf-8")
    assert rung.wait(30)


def test_without_watches_it_goes_on_and_says_so_once(
    spool: Spool, rung: threading.Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_self: object) -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(Observer, "start", refuse)
    watcher = Watcher({spool.bell: rung.set})
    with caplog.at_level(logging.WARNING):
        watcher.check()
        watcher.check()
    assert not watcher.is_watching
    assert [record.getMessage().count("scanning alone") for record in caplog.records] == [1]
    monkeypatch.undo()
    watcher.check()
    assert watcher.is_watching
    watcher.stop()


def test_the_wake_pipe_never_blocks() -> None:
    pipe = WakePipe()
    for _ in range(100_000):
        pipe.ring(b"b")
    assert set(pipe.heard()) == set(b"b")
    assert pipe.heard() == b""
    pipe.close()
