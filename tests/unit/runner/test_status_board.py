"""The status file: written when something changed, and at the heartbeat; never in the way of a job."""

from __future__ import annotations

import pytest

from jobs import runner_status
from jobs.catalog import Catalog
from jobs.runner_status import HEARTBEAT_SECONDS, RunnerState, RunnerStatus, WorkerMark
from jobs.spool import Spool
from runner.messages import Ended, Exiting, Loaded, Loading, Ready, Stepped
from runner.orphan import Orphans
from runner.slot_state import SlotState
from runner.status_board import StatusBoard
from tests.slots import Clock, PretendedSlot


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("runner.status_board.time.monotonic", clock)
    return clock


@pytest.fixture
def slots(clock: Clock) -> list[PretendedSlot]:
    """Two slots, the first with a worker that waits."""
    made = [PretendedSlot(device, clock) for device in ("cpu", "cuda:0")]
    made[0].slot.start()
    made[0].says(Ready(device="fake", device_name="a fake device"))
    return made


@pytest.fixture
def board(spool: Spool, catalog: Catalog, slots: list[PretendedSlot], clock: Clock) -> StatusBoard:
    board = StatusBoard(spool.layout, catalog, [at.slot for at in slots], Orphans([], 300, clock))
    board.show()
    return board


def read(spool: Spool) -> RunnerStatus:
    status = runner_status.read(spool.layout, "cpu")
    assert status is not None
    return status


def written(spool: Spool) -> tuple[RunnerState, str | None]:
    return read(spool).state, read(spool).job_id


def test_a_job_that_was_handed_over_shows_a_moment_later(
    board: StatusBoard, slots: list[PretendedSlot], spool: Spool, clock: Clock
) -> None:
    slots[0].slot.assign("castle")
    board.show()
    assert written(spool) == (RunnerState.IDLE, None)
    wait = board.seconds_to_show()
    assert 0 < wait <= 0.01
    clock.time += wait
    board.show()
    assert written(spool) == (RunnerState.BUSY, "castle")
    assert board.seconds_to_show() == pytest.approx(HEARTBEAT_SECONDS)


def test_a_job_that_ends_at_once_leaves_the_loop_asleep(
    board: StatusBoard, slots: list[PretendedSlot], spool: Spool, clock: Clock
) -> None:
    slots[0].slot.assign("castle")
    board.show()
    slots[0].says(Ended(job_id="castle", outcome="not_claimed"))
    clock.time += 0.01
    board.show()
    assert board.seconds_to_show() > HEARTBEAT_SECONDS / 2
    assert written(spool) == (RunnerState.IDLE, None)


def test_the_end_is_written_at_once(board: StatusBoard, slots: list[PretendedSlot], spool: Spool) -> None:
    slots[0].slot.assign("castle")
    board.show_stopped()
    assert written(spool) == (RunnerState.STOPPED, "castle")
    assert [worker.state for worker in read(spool).workers] == [RunnerState.STOPPED] * 2


def test_all_workers_are_shown_and_the_busiest_in_front(
    board: StatusBoard, slots: list[PretendedSlot], spool: Spool, clock: Clock
) -> None:
    busy = slots[1]
    busy.slot.start()
    busy.says(Ready(device="cuda:0", device_name="a GPU"))
    busy.slot.assign("castle")
    clock.time += 1
    for event, state in (
        (Loading(job_id="castle", model="tiny"), RunnerState.LOADING),
        (Loaded(model="tiny", seconds=2, plan={"placement": "resident"}, models=["tiny"]), RunnerState.BUSY),
        (Stepped(job_id="castle", model="tiny", image_number=1, step=1, step_seconds=0.5), RunnerState.BUSY),
    ):
        busy.says(event)
        board.show()
        assert written(spool) == (state, "castle")
    clock.time += HEARTBEAT_SECONDS
    board.show()
    status = read(spool)
    assert [(at.slot, at.state, at.job_id) for at in status.workers] == [
        ("cpu", RunnerState.IDLE, None),
        ("cuda:0", RunnerState.BUSY, "castle"),
    ]
    assert status.showing(status.workers[1]) == status
    assert (status.worker_pid, status.device, status.loaded_models) == (busy.worker.pid, "cuda:0", ["tiny"])
    assert (status.step_seconds, status.load_seconds) == ({"tiny": 0.5}, {"tiny": 2.0})


def test_a_pause_shows_where_nothing_runs_and_a_killed_worker_says_why(
    board: StatusBoard, slots: list[PretendedSlot], spool: Spool, clock: Clock
) -> None:
    slots[0].slot.assign("castle")
    clock.time += 1
    board.show("No room.")
    first, second = read(spool).workers
    assert (first.state, second.state, second.message) == (RunnerState.BUSY, RunnerState.PAUSED, "No room.")
    slots[0].slot.kill("It hangs.")
    board.show()
    first, second = read(spool).workers
    assert (first.state, second.state) == (RunnerState.PAUSED, RunnerState.IDLE)
    assert first.message == f"It hangs. Work goes on here as soon as its process {slots[0].worker.pid} is gone."
    assert read(spool).state is RunnerState.IDLE, "the runner takes jobs"


def test_a_slot_whose_device_is_not_there_says_so(board: StatusBoard, slots: list[PretendedSlot], spool: Spool) -> None:
    at = slots[1]
    at.slot.start()
    at.says(Exiting("There is no such device.", is_setting=True))
    at.worker.die(0)
    at.slot.poll()
    assert at.slot.state is SlotState.ABSENT
    board.show()
    second = read(spool).workers[1]
    assert (second.state, second.message) == (RunnerState.PAUSED, "There is no such device.")


def test_files_of_other_devices_go_when_one_runner_has_them(spool: Spool, board: StatusBoard, clock: Clock) -> None:
    old = RunnerStatus(pid=1, state=RunnerState.BUSY, job_id="old", started_at="", updated_at="")
    runner_status.write(spool.layout, old, "cuda:0")
    clock.time += HEARTBEAT_SECONDS
    board.show()
    assert not spool.layout.runner_status("cuda:0").exists()


def test_a_worker_that_was_left_behind_is_handed_on_from_status_to_status(spool: Spool) -> None:
    mark = WorkerMark(device="cuda:3", pid=5, start_ticks=7)
    status = RunnerStatus(pid=1, state=RunnerState.IDLE, orphans=[mark], started_at="", updated_at="")
    runner_status.write(spool.layout, status, "cpu")
    runner_status.write(spool.layout, status, "auto")
    former = RunnerStatus(
        pid=1, state=RunnerState.IDLE, worker_pid=6, worker_start_ticks=8, started_at="", updated_at=""
    )
    runner_status.write(spool.layout, former, "cuda:1")
    assert runner_status.left_behind(spool.layout, ["cpu"]) == [
        mark,
        WorkerMark(device="cuda:1", pid=6, start_ticks=8),
    ]
