"""Power cuts at points of the protocol, on a real ext4 (reliability.md A1 to A17)."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from core.layout import Layout
from jobs.requests import RequestValidator
from jobs.spool import Spool
from tests.faults import scenario
from tests.faults.crashing import Prepare, nothing, run_life
from tests.faults.history import History, violations
from tests.faults.power import Disk, disk
from tests.faults.table import record


@pytest.fixture(scope="module")
def small_disk() -> Iterator[Disk]:
    with disk() as made:
        yield made


#: Ends a life: SIGKILL, or a power cut.
Crash = Literal["cut", "kill"]


def crash_at_each(
    small_disk: Disk, scripted: RequestValidator, crashes: list[tuple[int, Crash]], prepare: Prepare = nothing
) -> tuple[bool, list[str]]:
    """Cut the power or kill at each of these points in turn, then run to the end.

    Returns whether the first crash happened, and what broke.
    """
    small_disk.make_new()
    data = new_life(small_disk)
    history, found, ended = History(), [], False
    for number, (point, crash) in enumerate(crashes):
        boot = f"boot {number}"
        die = small_disk.cut_power_and_die if crash == "cut" else kill_oneself
        ended = run_life(data, scripted, history, crash_at=point, crash=die, boot=boot, prepare=prepare)
        if ended and number == 0:
            return False, []
        if not ended and crash == "cut":
            small_disk.restart()
        found += [f"after {crashes[: number + 1]}: {text}" for text in violations(data, history, ended=ended)]
        if ended or found:
            break
    if not ended and not found:
        run_life(data, scripted, history, boot="last boot")
        found += [f"after {crashes} and recovery: {text}" for text in violations(data, history, ended=True)]
    return True, found


def kill_oneself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def new_life(small_disk: Disk) -> Path:
    """A data directory on the disk, with its drops."""
    data = small_disk.mount_point / "data"
    spool = Spool(Layout(data))
    spool.prepare()
    scenario.drop_files(spool)
    return data


def cut_at(
    small_disk: Disk, scripted: RequestValidator, crash_at: int, prepare: Prepare = nothing
) -> tuple[bool, list[str]]:
    """Lose power at one point, start again and run to the end; whether there was such a point, and what broke."""
    return crash_at_each(small_disk, scripted, [(crash_at, "cut")], prepare)


def number_of_points(small_disk: Disk, scripted: RequestValidator) -> int:
    small_disk.make_new()
    data = new_life(small_disk)
    history = History()
    assert run_life(data, scripted, history)
    return len(history.points)


def test_power_cuts_at_some_points_break_no_promise(small_disk: Disk, scripted: RequestValidator) -> None:
    count = number_of_points(small_disk, scripted)
    cut_at_each(small_disk, scripted, random.Random(7).sample(range(1, count + 1), 20))


@pytest.mark.long
def test_power_cuts_at_every_point_break_no_promise(small_disk: Disk, scripted: RequestValidator) -> None:
    cut_at_each(small_disk, scripted, range(1, number_of_points(small_disk, scripted) + 1))


def cut_at_each(small_disk: Disk, scripted: RequestValidator, points: list[int] | range) -> None:
    found = []
    for crash_at in points:
        crashed, broken = cut_at(small_disk, scripted, crash_at)
        assert crashed
        found += broken
    record("A1-A15 power cut at point N (ext4, shutdown ioctl)", len(points), found)


def test_a_second_crash_after_a_power_cut_breaks_no_promise(small_disk: Disk, scripted: RequestValidator) -> None:
    crash_twice(small_disk, scripted, 10)


@pytest.mark.long
def test_many_second_crashes_after_power_cuts_break_no_promise(small_disk: Disk, scripted: RequestValidator) -> None:
    crash_twice(small_disk, scripted, 100)


def crash_twice(small_disk: Disk, scripted: RequestValidator, tries: int) -> None:
    """Cut the power, then cut it or kill during the recovery."""
    count = number_of_points(small_disk, scripted)
    dice = random.Random(11)
    found = []
    for _ in range(tries):
        second: Crash = dice.choice(["cut", "kill"])
        crashes: list[tuple[int, Crash]] = [(dice.randint(1, count), "cut"), (dice.randint(1, count), second)]
        found += crash_at_each(small_disk, scripted, crashes)[1]
    record("A16 power cut at N, then a cut or SIGKILL at M while recovering", tries, found)


def no_sync() -> None:
    """As a program that never calls fsync."""
    os.fsync = lambda descriptor: None  # type: ignore[assignment]


def no_directory_sync() -> None:
    """As a program that syncs files but not the directories that hold their names."""
    fsync = os.fsync

    def files_only(descriptor: int) -> None:
        if not Path(f"/proc/self/fd/{descriptor}").is_dir():
            fsync(descriptor)

    os.fsync = files_only  # type: ignore[assignment]


@pytest.mark.parametrize("sabotage", [no_sync, no_directory_sync])
def test_the_harness_sees_missing_syncs(sabotage: Prepare, small_disk: Disk, scripted: RequestValidator) -> None:
    count = number_of_points(small_disk, scripted)
    points = random.Random(3).sample(range(10, count), 40)
    assert any(cut_at(small_disk, scripted, crash_at, sabotage)[1] for crash_at in points)
