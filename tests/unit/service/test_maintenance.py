"""Maintenance: what a person or a crash changed appears by itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from core.errors import IndexUnavailable
from jobs.schema import Job, State, encode
from jobs.spool import Spool
from service import maintenance
from service.maintenance import Maintenance
from tests.conftest import REPOSITORY
from tests.indexes import data_at, image_index, job_index

NewJob = Callable[..., Job]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def drop(spool: Spool, job: Job) -> None:
    """Put a completed job there by hand."""
    (spool.layout.spool / State.COMPLETED / f"{job.id}.json").write_bytes(encode(job))


def test_the_first_tick_builds_and_later_ones_repair_in_time(spool: Spool, new_job: NewJob) -> None:
    clock, index = Clock(), job_index(spool.layout.data)
    keeper = Maintenance(data_at(spool.layout.data), clock)
    keeper.tick()
    assert index.counts().total == image_index(spool.layout.data).page().total == 0
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
    keeper = Maintenance(data_at(spool.layout.data))
    keeper.tick()
    with pytest.raises(IndexUnavailable):
        job_index(spool.layout.data).counts()
    keeper.wait()
    assert job_index(spool.layout.data).counts().completed == 5
    keeper.close()


def test_an_index_that_cannot_be_written_does_not_stop_the_program(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    (spool.layout.spool / "index.sqlite3").mkdir()
    Maintenance(data_at(spool.layout.data)).tick()
    assert "could not be compared" in caplog.text


def test_a_tick_shrinks_the_logs(spool: Spool, new_job: NewJob, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, data = Clock(), data_at(spool.layout.data)
    keeper = Maintenance(data, clock)
    keeper.tick()
    monkeypatch.setattr(maintenance, "LOG_LIMIT", 1 << 16)
    monkeypatch.setattr("core.sqlite_index.LOG_LIMIT", 1 << 16)
    for _ in range(40):
        data.spool.submit(new_job())
    assert data.jobs.file.log_bytes() > 1 << 16
    clock.time += maintenance.INTERVAL
    keeper.tick()
    assert data.jobs.file.log_bytes() == 0


def test_the_command_repairs_and_rebuilds(spool: Spool, new_job: NewJob) -> None:
    drop(spool, new_job())
    for extra in ([], ["--rebuild"]):
        command = [sys.executable, "-m", "service.maintenance", str(spool.layout.data), *extra]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        assert job_index(spool.layout.data).counts().total == 1
