"""The status file: written when something changed, and at the heartbeat; never in the way of a job."""

from __future__ import annotations

import pytest

from jobs import runner_status
from jobs.catalog import Catalog
from jobs.runner_status import HEARTBEAT_SECONDS, RunnerState
from jobs.spool import Spool
from runner.messages import Ended, Ready
from runner.status_board import StatusBoard


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("runner.status_board.time.monotonic", clock)
    return clock


@pytest.fixture
def board(spool: Spool, catalog: Catalog, clock: Clock) -> StatusBoard:
    """A board with a worker that waits."""
    board = StatusBoard(spool, catalog, "cpu")
    board.worker_started(1)
    board.take(Ready(device="fake", device_name="a fake device"))
    board.write()
    return board


def written(spool: Spool) -> tuple[RunnerState, str | None]:
    status = runner_status.read(spool.layout, "cpu")
    assert status is not None
    return status.state, status.job_id


def test_a_job_that_was_handed_over_shows_a_moment_later(board: StatusBoard, spool: Spool, clock: Clock) -> None:
    board.dispatched("castle")
    board.write()
    assert written(spool) == (RunnerState.IDLE, None)
    wait = board.seconds_to_write()
    assert 0 < wait <= 0.01
    clock.time += wait
    board.write()
    assert written(spool) == (RunnerState.BUSY, "castle")
    assert board.seconds_to_write() == pytest.approx(HEARTBEAT_SECONDS)


def test_a_job_that_ends_at_once_leaves_the_loop_asleep(board: StatusBoard, spool: Spool, clock: Clock) -> None:
    board.dispatched("castle")
    board.write()
    board.take(Ended(job_id="castle", outcome="not_claimed"))
    clock.time += 0.01
    board.write()
    assert board.seconds_to_write() > HEARTBEAT_SECONDS / 2
    assert written(spool) == (RunnerState.IDLE, None)


def test_the_end_is_written_at_once(board: StatusBoard, spool: Spool) -> None:
    board.dispatched("castle")
    board.stopped()
    assert written(spool) == (RunnerState.STOPPED, "castle")
