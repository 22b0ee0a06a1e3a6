"""What others see while a job moves: never an attempt that is not counted, never counts that are behind."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from core import failpoints
from core.failpoints import arm, passed
from core.layout import Layout
from jobs.claims import Claim, claim, recover
from jobs.index.job_index import JobIndex
from jobs.schema import Job, JobError, State
from jobs.spool import Spool
from service.data import Data
from tests.indexes import data_at

NewJob = Callable[..., Job]


@pytest.fixture
def data(spool: Spool) -> Data:
    """The same data directory with its indexes."""
    data = data_at(spool.layout.data)
    data.jobs.repair()
    return data


@pytest.fixture
def disarm() -> Iterator[None]:
    """No failpoint stays armed."""
    yield
    failpoints._armed = False


class Died(BaseException):
    """The process was killed here."""


def die() -> None:
    """Stand for a SIGKILL."""
    raise Died


def test_a_claim_that_dies_at_any_point_burns_no_attempt_before_it_is_processing(
    spool: Spool, new_job: NewJob, disarm: None
) -> None:
    states = []
    for point in range(1, 100):
        job = new_job()
        spool.submit(job)
        arm(point, die)
        try:
            held = claim(spool, job.id)
        except Died:
            failpoints._armed = False
        else:
            assert held is not None
            break
        state, found = spool.find(job.id)
        states.append((passed()[-1], state))
        if state is State.PENDING:
            assert (found.attempts, found.boot_id) == (0, None)
            held = claim(spool, job.id)
            assert held is not None
            assert held.job.attempts == 1
        else:
            assert (found.attempts, found.started_at is not None) == (1, True)
            assert recover(spool, job.id, max_attempts=3) is State.PENDING
    assert ("attempt.renamed", State.PENDING) in states
    assert ("claim.renamed", State.PROCESSING) in states


def _poll(folder: Path, asked: Connection) -> None:
    """Look at one job after the other until it has ended; tell what was wrong."""
    spool, index = Spool(Layout(folder)), data_at(folder).jobs
    wrong: list[str] = []
    ended = 0
    while (job_id := asked.recv()) is not None:
        while True:
            state, job = spool.find(job_id)
            if state is State.PROCESSING and (job.started_at is None or job.attempts < 1):
                wrong.append(f"{job_id}: processing, started_at {job.started_at}, attempts {job.attempts}")
            if state is State.PENDING and job.attempts != 0:
                wrong.append(f"{job_id}: pending with an attempt")
            if state.is_final:
                break
        ended += 1
        counts = index.counts()
        if (counts.completed, counts.processing) != (ended, 0):
            wrong.append(f"{job_id} has ended and the counts are {counts}")
        asked.send(wrong)


def test_close_polling_of_200_starts_sees_whole_states_and_counts(spool: Spool, data: Data, new_job: NewJob) -> None:
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    poller = multiprocessing.get_context("fork").Process(target=_poll, args=(spool.layout.data, theirs))
    poller.start()
    for _ in range(200):
        job = new_job()
        data.spool.submit(job)
        ours.send(job.id)
        held = claim(data.spool, job.id)
        assert held is not None
        held.complete()
        assert ours.recv() == []
    ours.send(None)
    poller.join()


def test_the_index_is_right_at_every_rename(data: Data, new_job: NewJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the instant in which the file has moved and nothing is synced yet."""
    seen: list[str] = []
    rename = os.rename

    def checked(source: str | Path, target: str | Path) -> None:
        rename(source, target)
        if Path(target).parent.parent == data.layout.spool and Path(source).parent.name in tuple(State):
            compare(data)
            seen.append(Path(target).parent.name)

    jobs = [new_job() for _ in range(4)]
    for job in jobs:
        data.spool.submit(job)
    monkeypatch.setattr("core.files.os.rename", checked)
    ends: list[Callable[[Claim], None]] = [
        lambda held: held.complete(),
        lambda held: held.fail(JobError(type="x", message="y")),
        lambda held: held.cancel(),
        lambda held: held.requeue(),
    ]
    for job, end in zip(jobs, ends, strict=True):
        held = claim(data.spool, job.id)
        assert held is not None
        end(held)
        compare(data)
    data.spool.cancel(jobs[3].id)
    assert seen == [word for end in ("completed", "failed", "cancelled", "pending") for word in ("processing", end)] + [
        "cancelled"
    ]


def compare(data: Data) -> None:
    """Each state's directory holds what the index says."""
    with data.jobs.file.read() as database:
        for state in State:
            assert data.jobs.known_names(database, state) == set(data.spool.ids(state)), state


@pytest.mark.parametrize("point", ["final.move.before", "claim.before", "requeue.move.before"])
def test_an_index_that_is_ahead_of_a_killed_mover_is_put_right(
    data: Data, new_job: NewJob, disarm: None, point: str
) -> None:
    job = new_job()
    data.spool.submit(job)
    failpoints.arm(0)
    held = claim(data.spool, job.id) if point != "claim.before" else None
    arm(10**6, die)
    with pytest.raises(Died):
        _until(point, data.spool, job, held)
    failpoints._armed = False
    data.jobs.repair()
    compare(data)
    if held is not None:
        held.abandon()
        recover(data.spool, job.id, max_attempts=3)
        compare(data)


def _until(point: str, spool: Spool, job: Job, held: object) -> None:
    """Go on with a job, and die at the named point."""
    original = failpoints._pass_armed

    def pass_armed(name: str) -> None:
        if name == point:
            raise Died
        original(name)

    failpoints._pass_armed = pass_armed
    try:
        if held is None:
            claim(spool, job.id)
        elif point.startswith("final"):
            held.complete()  # type: ignore[attr-defined]
        else:
            held.requeue()  # type: ignore[attr-defined]
    finally:
        failpoints._pass_armed = original


def test_a_repair_between_the_note_and_the_move_is_written_over(
    data: Data, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job()
    data.spool.submit(job)
    held = claim(data.spool, job.id)
    assert held is not None
    moving = JobIndex.job_moving

    def note_and_repair(self: JobIndex, job: Job, state: State) -> None:
        moving(self, job, state)
        self.correct_all([job.id])

    monkeypatch.setattr(JobIndex, "job_moving", note_and_repair)
    held.complete()
    compare(data)


def test_a_move_that_the_disk_refuses_is_taken_back_in_the_index(
    data: Data, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job()
    data.spool.submit(job)
    held = claim(data.spool, job.id)
    assert held is not None

    def refuse(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("core.files.move", refuse)
    with pytest.raises(OSError, match="Input/output"):
        held.complete()
    compare(data)
    held.abandon()
