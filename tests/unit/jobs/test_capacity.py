"""The cap on pending jobs: exact where it matters, and cheap however deep the queue is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import StorageUnavailable
from jobs.capacity import Capacity
from jobs.errors import QueueFull


class Listings:
    """Counts how often a directory is listed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        self._list = os.listdir
        monkeypatch.setattr("jobs.capacity.os.listdir", self)

    def __call__(self, path: Path) -> list[str]:
        self.number += 1
        return self._list(path)


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> Listings:
    return Listings(monkeypatch)


def put(folder: Path, amount: int) -> None:
    for number in range(amount):
        (folder / f"{number}.json").touch()


def settle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a minute pass since the directory changed."""
    later = os.stat(folder).st_ctime_ns + 60_000_000_000
    monkeypatch.setattr("jobs.capacity.time.time_ns", lambda: later)


def test_near_the_cap_what_others_do_counts_at_once(tmp_path: Path) -> None:
    room = Capacity(tmp_path, max_pending=5, reserve_bytes=0)
    put(tmp_path, 4)
    room.check()
    put(tmp_path, 5)
    with pytest.raises(QueueFull):
        room.check()
    (tmp_path / "0.json").unlink()
    room.check()
    assert room.pending_count() == 4


def test_a_full_queue_is_not_listed_for_everybody_who_knocks(
    tmp_path: Path, listings: Listings, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Capacity(tmp_path, max_pending=5, reserve_bytes=0)
    put(tmp_path, 5)
    settle(tmp_path, monkeypatch)
    for _ in range(50):
        with pytest.raises(QueueFull):
            room.check()
    assert listings.number == 1


def test_a_change_within_the_clock_tick_of_a_count_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Capacity(tmp_path, max_pending=5, reserve_bytes=0)
    put(tmp_path, 4)
    stamp = os.stat(tmp_path)
    monkeypatch.setattr("jobs.capacity.time.time_ns", lambda: stamp.st_ctime_ns)
    room.check()
    put(tmp_path, 5)
    monkeypatch.setattr("jobs.capacity.os.stat", lambda _path: stamp)  # a file system that did not notice
    with pytest.raises(QueueFull):
        room.check()


def test_far_from_the_cap_submitting_does_not_list(tmp_path: Path, listings: Listings) -> None:
    room = Capacity(tmp_path, max_pending=10_000, reserve_bytes=0)
    room.check()
    for number in range(200):
        (tmp_path / f"{number}.json").touch()
        room.taken()
        room.check()
    assert room.pending_count() == 200
    assert listings.number <= 3  # once a second at most, even on a slow machine


def test_a_full_disk_is_no_room(tmp_path: Path) -> None:
    room = Capacity(tmp_path, max_pending=10, reserve_bytes=1 << 62)
    assert not room.has_space()
    with pytest.raises(StorageUnavailable, match="reserve"):
        room.check()
