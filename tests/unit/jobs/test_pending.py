"""The order of pending jobs, their waits, and clocks that step."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.layout import Layout
from jobs.ids import SKEW_SECONDS, OrderClock
from jobs.pending import PendingQueue
from jobs.schema import Job, State
from jobs.spool import Spool
from tests.faults import scenario

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


def jobs_at(spool: Spool, new_job: Callable[..., Job], *moments: float) -> list[str]:
    """Jobs accepted when the clock said these times; their ids in the order of acceptance."""
    found = []
    for number, moment in enumerate(moments):
        spool.clock = OrderClock(spool.layout.order, partial(int, moment * 1e9))
        spool.submit_named(new_job(f"job{number}"))
        found.append(f"job{number}")
    return found


def all_popped(queue: PendingQueue) -> list[str]:
    return [job.id for job in iter(queue.pop, None)]


@pytest.mark.parametrize("wrong", [5 * YEAR, 3600.0])
def test_jobs_that_a_wrong_clock_dated_ahead_are_not_overtaken(
    wrong: float, spool: Spool, queue: PendingQueue, clocks: Clocks, new_job: Callable[..., Job]
) -> None:
    """Two jobs of the wrong clock, which is then put right, and two more."""
    now = clocks.wall
    clocks.wall += wrong
    accepted = jobs_at(spool, new_job, now + wrong, now + wrong + 1)
    queue.refresh()
    clocks.wall = now + 10
    for number, moment in enumerate((now + 10, now + 11), start=2):
        spool.clock = OrderClock(spool.layout.order, partial(int, moment * 1e9))
        spool.submit_named(new_job(f"job{number}"))
        accepted.append(f"job{number}")
    queue.refresh()
    assert all_popped(queue) == accepted
    again = PendingQueue(spool, lambda: clocks.wall, monotonic=lambda: clocks.steady)
    again.refresh()
    assert all_popped(again) == accepted, "also after a restart"


@given(steps=st.lists(st.one_of(st.floats(-30, 30), st.floats(-3 * YEAR, 3 * YEAR)), min_size=1, max_size=8))
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
def test_no_job_starves_whatever_the_clock_does(steps: list[float]) -> None:
    """Whoever comes after a job and after the clock was put right comes after it in the queue, too."""
    folder = Path(tempfile.mkdtemp())
    spool, validator = Spool(Layout(folder / "data")), scenario.validator(folder / "models")
    spool.prepare()
    request = validator.generate(b'{"model_id": "tiny", "prompt": "x"}')
    now = 1_800_000_000.0
    queue = PendingQueue(spool, lambda: now)
    for number, step in enumerate(steps):
        now += step
        spool.clock = OrderClock(spool.layout.order, partial(int, now * 1e9))
        spool.submit_named(validator.job(request, job_id=f"j{number}", order=spool.clock.issue(), source="http"))
        queue.refresh()
    now = max(now, 1_800_000_000.0) + 4 * SKEW_SECONDS
    spool.clock = OrderClock(spool.layout.order, partial(int, now * 1e9))
    spool.submit_named(validator.job(request, job_id="last", order=spool.clock.issue(), source="http"))
    queue.refresh()
    assert all_popped(queue)[-1] == "last"
    shutil.rmtree(folder)
