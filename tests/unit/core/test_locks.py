"""Locks exclude, end with their holder, and are not disturbed by those who look."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core import locks
from tests.programs import REPOSITORY, wait_until


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


# --- Who attends ----------------------------------------------------------------------------------


def test_others_see_who_attends_and_nobody_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "marker"
    path.touch()
    mine, theirs = locks.Presence(path), locks.Presence(path)
    with mine.attend("castle"):
        assert theirs.others("castle")
        assert not theirs.others("house")
        assert not mine.others("castle", own=1)
        with mine.attend("castle"), mine.attend("house"):
            assert mine.others("castle", own=1)
            assert theirs.others("house")
        with theirs.attend("castle"):
            assert mine.others("castle", own=1)
        assert not mine.others("castle", own=1)
    assert not theirs.others("castle")
    assert not mine.others("castle")


def test_who_attends_is_forgotten_with_its_process_and_takes_no_lock_from_others(tmp_path: Path) -> None:
    path = tmp_path / "marker"
    path.touch()
    code = (
        "import sys, time; from pathlib import Path; from core.locks import Presence\n"
        "with Presence(Path(sys.argv[1])).attend('castle'):\n    print('there', flush=True); time.sleep(3600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        assert locks.Presence(path).others("castle")
        assert not locks.is_locked(path)
        process.kill()
        process.wait()
        assert not locks.Presence(path).others("castle")


def test_nobody_can_attend_where_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locks.Presence(tmp_path / "absent").attend("castle"):
        pass
