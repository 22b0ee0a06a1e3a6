"""Maintenance: what a person or a crash changed appears by itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from jobs.errors import IndexUnavailable
from jobs.schema import Job, State, encode
from jobs.spool import Spool
from outputs import maintenance
from outputs.maintenance import Maintenance, image_index, job_index
from tests.conftest import REPOSITORY

NewJob = Callable[..., Job]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def drop(spool: Spool, job: Job) -> None:
    """Put a completed job there by hand."""
    (spool.root / State.COMPLETED / f"{job.id}.json").write_bytes(encode(job))


def test_the_first_tick_builds_and_later_ones_repair_in_time(spool: Spool, new_job: NewJob) -> None:
    clock, index = Clock(), job_index(spool.data)
    keeper = Maintenance(spool.data, clock)
    keeper.tick()
    assert index.counts().total == image_index(spool.data).page().total == 0
    drop(spool, new_job())
    keeper.tick()
    assert index.counts().total == 0  # not yet time
    clock.time += maintenance.INTERVAL
    keeper.tick()
    assert index.counts().total == 1


def test_large_repairs_are_made_by_a_child(spool: Spool, new_job: NewJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "_SMALL", 2)
    for _ in range(5):
        drop(spool, new_job())
    keeper = Maintenance(spool.data)
    keeper.tick()
    with pytest.raises(IndexUnavailable):
        job_index(spool.data).counts()
    keeper.wait()
    assert job_index(spool.data).counts().completed == 5
    keeper.close()


def test_an_index_that_cannot_be_written_does_not_stop_the_program(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    (spool.root / "index.sqlite3").mkdir()
    Maintenance(spool.data).tick()
    assert "could not be compared" in caplog.text


def test_the_command_repairs_and_rebuilds(spool: Spool, new_job: NewJob) -> None:
    drop(spool, new_job())
    for extra in ([], ["--rebuild"]):
        command = [sys.executable, "-m", "outputs.maintenance", str(spool.data), *extra]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        assert job_index(spool.data).counts().total == 1
