"""The order of pending jobs, their waits, and clocks that step."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobs.pending import PendingQueue
from jobs.schema import Job, State
from jobs.spool import Spool

YEAR = 365 * 86_400.0


class Clocks:
    """A wall clock that may step and a monotonic one that may not."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.steady = 50.0

    def pass_seconds(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def queue(spool: Spool, clocks: Clocks) -> PendingQueue:
    return PendingQueue(spool, lambda: clocks.wall, monotonic=lambda: clocks.steady)


def popped(queue: PendingQueue) -> str | None:
    """The id of the job whose turn it is."""
    job = queue.pop()
    return job.id if job else None


def test_a_waiting_job_lets_others_pass_and_comes_in_its_time(
    spool: Spool, queue: PendingQueue, clocks: Clocks, new_job: Callable[..., Job]
) -> None:
    waiting = new_job("waiting").evolve(not_before=clocks.wall + 30)
    spool.submit(waiting)
    spool.submit(new_job("later"))
    queue.refresh()
    assert popped(queue) == "later"
    assert queue.pop() is None
    assert queue.next_wake() == pytest.approx(clocks.wall + 30)
    clocks.pass_seconds(31)
    assert popped(queue) == "waiting"


@pytest.mark.parametrize("step", [-YEAR, -3600.0, 3600.0, YEAR])
def test_a_step_of_the_clock_neither_ends_nor_prolongs_a_wait(
    step: float, spool: Spool, queue: PendingQueue, clocks: Clocks, new_job: Callable[..., Job]
) -> None:
    spool.submit(new_job("waiting").evolve(not_before=clocks.wall + 30))
    queue.refresh()
    clocks.wall += step
    assert queue.pop() is None
    clocks.pass_seconds(31)
    assert popped(queue) == "waiting"


def test_a_wait_written_before_the_clock_was_set_back_is_cut(
    spool: Spool, queue: PendingQueue, clocks: Clocks, new_job: Callable[..., Job]
) -> None:
    spool.submit(new_job("waiting").evolve(not_before=clocks.wall + YEAR))
    queue.refresh()
    clocks.pass_seconds(3601)
    assert popped(queue) == "waiting"


def test_a_job_that_comes_back_is_offered_again(spool: Spool, queue: PendingQueue, new_job: Callable[..., Job]) -> None:
    spool.submit(new_job("x"))
    queue.refresh()
    assert popped(queue) == "x"
    queue.refresh()
    assert popped(queue) == "x", "nobody claimed it"
    spool.path(State.PENDING, "x").unlink()
    queue.refresh()
    assert queue.pop() is None


def test_an_unreadable_job_does_not_stop_the_others(
    spool: Spool, queue: PendingQueue, new_job: Callable[..., Job], caplog: pytest.LogCaptureFixture
) -> None:
    spool.path(State.PENDING, "broken").write_bytes(b"{")
    spool.submit(new_job("good"))
    queue.refresh()
    queue.refresh()
    assert popped(queue) == "good"
    assert sum("broken" in message for message in caplog.messages) == 1
