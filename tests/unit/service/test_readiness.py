"""What readiness finds out by trying: the disk, and whether runners still report."""

from __future__ import annotations

import errno
import os

import pytest

from jobs.runner_status import Runner, RunnerState, RunnerStatus
from jobs.schema import State
from jobs.spool import Spool
from service.readiness import SilenceWatch, StorageCheck, missing_data


def test_the_disk_is_tried_as_storing_a_job_does(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    check = StorageCheck(spool, lambda: clock[0])
    assert check.trouble() == ""
    for name in ("write", "fsync"):

        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, name, fail)
        clock[0] += 1
        assert check.trouble() == "The data directory cannot be written: No space left on device."
        monkeypatch.undo()
        assert list(spool.layout.temporary.iterdir()) == []
    clock[0] += 1
    assert check.trouble() == ""


def test_however_many_ask_the_disk_is_tried_once_in_a_second(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, synced, sync = [0.0], [0], os.fsync

    def count(descriptor: int) -> None:
        synced[0] += 1
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", count)
    check = StorageCheck(spool, lambda: clock[0])
    for _ in range(100):
        check.trouble()
        clock[0] += 0.05
    assert synced[0] == 5


def test_the_reserve_counts(spool: Spool) -> None:
    full = StorageCheck(Spool(spool.layout, reserve_bytes=1 << 60))
    assert full.trouble() == "Less free space is left than the reserve."


def test_every_folder_of_the_data_directory_is_missed(spool: Spool) -> None:
    layout = spool.layout
    assert missing_data(layout) is None
    for path in layout.folders(tuple(State)):
        path.rename(layout.data / "elsewhere")
        assert "not mounted" in str(missing_data(layout))
        (layout.data / "elsewhere").rename(path)
    layout.marker.unlink()
    assert "not mounted" in str(missing_data(layout))


def runner(reported: str | None) -> Runner:
    if reported is None:
        return Runner("cpu", True, None)
    status = RunnerStatus(pid=1, state=RunnerState.IDLE, started_at="2026-01-01T00:00:00Z", updated_at=reported)
    return Runner("cpu", True, status)


@pytest.mark.parametrize("reported", [None, "2026-01-01T00:00:00Z", "2036-01-01T00:00:00Z"])
def test_a_runner_that_reports_nothing_new_is_silent_whatever_the_clock_says(reported: str | None) -> None:
    clock = [0.0]
    watch = SilenceWatch(lambda: clock[0])
    assert watch.trouble(runner(reported)) == ""
    clock[0] = 29
    assert watch.trouble(runner(reported)) == ""
    clock[0] = 31
    assert "reported nothing for 31 seconds" in watch.trouble(runner(reported))
    assert watch.trouble(runner("2026-01-01T00:00:05Z")) == ""
