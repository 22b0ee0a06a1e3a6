"""Locks exclude, end with their holder, and are not disturbed by those who look."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from core import locks
from tests.programs import wait_until


def test_a_lock_excludes_and_a_probe_does_not_disturb(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    first, second = locks.ExclusiveLock(path), locks.ExclusiveLock(path)
    assert not locks.is_locked(path)
    assert first.acquire()
    assert not second.acquire()
    assert locks.is_locked(path)
    first.release()
    assert not locks.is_locked(path)
    assert second.acquire()
    second.release()


def test_probes_see_no_holder_where_none_is_and_keep_no_claim_away(tmp_path: Path) -> None:
    """Two probers that never rest, as the API's workers may be (D12)."""
    path = tmp_path / "x.lock"
    path.touch()
    claiming, ended = threading.Event(), threading.Event()
    false_alarms = []

    def probe() -> None:
        while not ended.is_set():
            if locks.is_locked(path) and not claiming.is_set():
                false_alarms.append("held")

    probers = [threading.Thread(target=probe) for _ in range(2)]
    for prober in probers:
        prober.start()
    try:
        wait_until(lambda: all(not locks.is_locked(path) for _ in range(200)), about="200 probes")
        claiming.set()
        for _ in range(100):
            lock = locks.ExclusiveLock(path)
            assert lock.acquire(timeout=20)  # a thread that probes may hold the interpreter
            lock.release()
    finally:
        ended.set()
        for prober in probers:
            prober.join()
    assert false_alarms == []


def test_a_removed_lock_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    lock = locks.ExclusiveLock(path)
    lock.acquire()
    assert lock.is_intact()
    path.unlink()
    assert not lock.is_intact()
    path.touch()
    assert not lock.is_intact()
    lock.release()


def test_discarded_locks_never_let_two_holders_in(tmp_path: Path) -> None:
    """Many threads take, discard and release one lock; a counter under it is never raced."""
    path = tmp_path / "x.lock"
    inside = [0]
    worst = [0]

    def work(number: int) -> None:
        for turn in range(60):
            lock = locks.ExclusiveLock(path)
            if lock.acquire(timeout=20):
                inside[0] += 1
                worst[0] = max(worst[0], inside[0])
                inside[0] -= 1
                (lock.discard if (turn + number) % 2 else lock.release)()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worst[0] == 1


def test_a_lock_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        locks.ExclusiveLock(tmp_path / "gone" / "locks" / "x.lock").acquire(timeout=0)
    assert list(tmp_path.iterdir()) == []
