"""The watcher: rings for what matters, survives its limits, and notices a replaced folder."""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from watchdog.observers.inotify_c import InotifyFD

from jobs.schema import State
from jobs.spool import Spool
from runner.wake import WakePipe
from runner.watcher import Watcher


@pytest.fixture
def watcher(spool: Spool) -> Iterator[Watcher]:
    watcher = Watcher([spool.layout.bell, spool.layout.incoming])
    watcher.check()
    yield watcher
    watcher.close()


def rung(watcher: Watcher, seconds: float = 30) -> set[Path]:
    """What rings within some time."""
    select.select([watcher], [], [], seconds)
    return watcher.drain()


@pytest.mark.parametrize("way", ["bell", "write", "move", "link"])
def test_it_rings(spool: Spool, watcher: Watcher, tmp_path: Path, way: str) -> None:
    source = tmp_path / "castle.json"
    source.write_text("{}", encoding="utf-8")
    if way == "bell":
        spool.ring()
    elif way == "write":
        (spool.layout.incoming / "castle.json").write_text("{}", encoding="utf-8")
    elif way == "move":
        os.rename(source, spool.layout.incoming / "castle.json")
    else:
        os.link(source, spool.layout.incoming / "castle.json")
    assert rung(watcher) == {spool.layout.bell if way == "bell" else spool.layout.incoming}
    assert rung(watcher, 0) == set()


def test_a_replaced_folder_is_watched_anew(spool: Spool, watcher: Watcher) -> None:
    os.rename(spool.layout.incoming, spool.layout.spool / "old")
    spool.layout.incoming.mkdir()
    watcher.check()
    watcher.drain()
    (spool.layout.spool / "old" / "castle.json").write_text("{}", encoding="utf-8")
    assert rung(watcher, 0) == set()
    (spool.layout.incoming / "castle.json").write_text("{}", encoding="utf-8")
    assert rung(watcher) == {spool.layout.incoming}


def test_a_folder_that_is_gone_is_watched_when_it_is_back(spool: Spool, watcher: Watcher) -> None:
    spool.layout.incoming.rmdir()
    watcher.check()
    spool.layout.incoming.mkdir()
    watcher.check()
    watcher.drain()
    (spool.layout.incoming / "castle.json").write_text("{}", encoding="utf-8")
    assert rung(watcher) == {spool.layout.incoming}


def test_a_folder_made_anew_between_two_scans_is_watched(spool: Spool, watcher: Watcher) -> None:
    """The new folder often gets the inode number of the old one."""
    for _ in range(10):
        spool.layout.incoming.rmdir()
        spool.layout.incoming.mkdir()
        watcher.check()
        watcher.drain()
        (spool.layout.incoming / "castle.json").write_text("{}", encoding="utf-8")
        assert rung(watcher) == {spool.layout.incoming}
        (spool.layout.incoming / "castle.json").unlink()


def test_moves_out_of_a_watched_folder_hold_nothing_up(spool: Spool, watcher: Watcher) -> None:
    """watchdog's Observer holds what follows an unpaired move for half a second; a claim by rename is one."""
    delays = []
    for number in range(20):
        (spool.layout.incoming / f"{number}.json").write_text("{}", encoding="utf-8")
        assert rung(watcher) == {spool.layout.incoming}
        os.rename(spool.layout.incoming / f"{number}.json", spool.layout.spool / State.PENDING / f"{number}.json")
        began = time.monotonic()
        spool.ring()
        assert rung(watcher) == {spool.layout.bell}
        delays.append(time.monotonic() - began)
    assert median(delays) < 0.4, "each would be held up, not only some on a busy machine"


def test_lost_events_ring_everywhere(spool: Spool, watcher: Watcher) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text(encoding="ascii"))
    names = [spool.layout.incoming / name for name in "ab"]
    for _ in range(limit // 4 + 100):  # two names in turn, so that equal events in a row are not merged
        for name in names:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
            os.unlink(name)
    found: set[Path] = set()
    while more := rung(watcher, 0.5):
        found |= more
    assert found == {spool.layout.bell, spool.layout.incoming}


def refuse(*_: object) -> None:
    """What watchdog does at the kernel's limits."""
    raise OSError(24, "inotify limit reached")


@pytest.mark.parametrize("limit", ["_create_inotify_fd", "add_callback"])
def test_without_watches_it_goes_on_and_says_so_once(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, limit: str
) -> None:
    monkeypatch.setattr(InotifyFD, limit, refuse)
    watcher = Watcher([spool.layout.bell])
    with caplog.at_level(logging.WARNING):
        watcher.check()
        watcher.check()
    assert [watcher.is_watching] == [False]  # a plain `not` would be taken for permanent by mypy
    assert rung(watcher, 0) == set()
    assert [record.getMessage().count("scanning alone") for record in caplog.records] == [1]
    monkeypatch.undo()
    watcher.check()
    assert watcher.is_watching
    spool.ring()
    assert rung(watcher) == {spool.layout.bell}
    watcher.close()


def test_it_gives_its_descriptors_back(spool: Spool) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        watcher = Watcher([spool.layout.bell, spool.layout.incoming])
        watcher.check()
        spool.ring()
        rung(watcher)
        watcher.close()
        Watcher([spool.layout.bell]).close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_wake_pipe_never_blocks() -> None:
    pipe = WakePipe()
    with pytest.raises(BlockingIOError):  # noqa: PT012  which write fills it is the kernel's affair
        for _ in range(100_000):
            os.write(pipe.signal_descriptor, b"b")
    assert set(pipe.drain()) == set(b"b")
    assert pipe.drain() == b""
    pipe.close()
