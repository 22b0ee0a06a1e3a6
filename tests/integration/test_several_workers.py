"""One runner with several devices: its workers work at the same time, and none can hold up or harm another."""

from __future__ import annotations

import os
import signal

import pytest

from jobs import runner_status
from jobs.runner_status import RunnerStatus, WorkerStatus
from jobs.schema import Job, State
from tests.programs import PATIENCE, Program
from tests.runner_harness import RunnerHarness, is_running

TWO = "cuda:0,cuda:1"


def start(harness: RunnerHarness, device: str = TWO, **settings: object) -> Program:
    return harness.stub_runner(**({"scan_seconds": 0.2, "device": device} | settings))


def worker_of(harness: RunnerHarness, job: Job) -> WorkerStatus:
    """The worker that has a job, once it draws."""
    harness.wait_for_steps(job)
    status = harness.wait_for_status(
        lambda status: any(at.job_id == job.id for at in status.workers), f"a worker for {job.id}", "cuda:0"
    )
    return next(at for at in status.workers if at.job_id == job.id)


def wait_for_workers(harness: RunnerHarness, amount: int) -> RunnerStatus:
    """Wait until so many workers are there."""
    return harness.wait_for_status(
        lambda status: sum(at.pid is not None for at in status.workers) == amount, f"{amount} workers", "cuda:0"
    )


def wait_for_rest(harness: RunnerHarness) -> None:
    """Wait until every worker is free."""
    harness.wait_for_status(
        lambda status: all(at.pid and at.job_id is None and at.state == "idle" for at in status.workers),
        "free workers",
        "cuda:0",
    )


def test_jobs_run_at_the_same_time_each_once_and_readers_see_two(
    bare_harness: RunnerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = bare_harness.folder / "events"
    monkeypatch.setenv("TEST_EVENTS", str(events))
    slow = [bare_harness.submit("slow") for _ in range(2)]
    with start(bare_harness) as runner:
        workers = [worker_of(bare_harness, job) for job in slow]
        assert [bare_harness.state(job) for job in slow] == [State.PROCESSING] * 2
        assert {at.device for at in workers} == {"cuda:0", "cuda:1"}
        assert len({at.pid for at in workers}) == 2
        runners = runner_status.read_living(bare_harness.spool.layout)
        assert {at.device: at.status and at.status.job_id for at in runners} == {at.slot: at.job_id for at in workers}
        fast = [bare_harness.submit(f"picture {number}") for number in range(12)]
        assert [bare_harness.wait_for(job).attempts for job in slow + fast] == [1] * 14
        assert "not_claimed" not in runner.output()
        assert runner.output().count("A worker has started.") == 2
    drawn = [line for line in events.read_text(encoding="utf-8").splitlines() if line.startswith("drawing")]
    assert len(drawn) == len(set(drawn)) == 14
    assert [path.name for path in bare_harness.data.glob("runner*")] == ["runner.cuda-0.json"]


def test_a_kill_of_one_worker_costs_one_attempt_of_its_job_and_leaves_the_other_alone(
    bare_harness: RunnerHarness,
) -> None:
    jobs = [bare_harness.submit("slow") for _ in range(2)]
    with start(bare_harness):
        killed, other = (worker_of(bare_harness, job) for job in jobs)
        assert killed.pid is not None
        os.kill(killed.pid, signal.SIGKILL)
        assert [bare_harness.wait_for(job).attempts for job in jobs] == [2, 1]
        left = wait_for_workers(bare_harness, 2)
        assert [at.pid for at in left.workers if at.slot == other.slot] == [other.pid]


def test_sigterm_puts_both_jobs_back(bare_harness: RunnerHarness) -> None:
    jobs = [bare_harness.submit("slow") for _ in range(2)]
    with start(bare_harness) as runner:
        workers = [worker_of(bare_harness, job) for job in jobs]
        assert runner.end(signal.SIGTERM) == 0
    assert [(bare_harness.state(job), bare_harness.stored(job).attempts) for job in jobs] == [(State.PENDING, 0)] * 2
    assert not any(is_running(at.pid or 0) for at in workers)
    status = runner_status.read(bare_harness.spool.layout, "cuda:0")
    assert status is not None
    assert [(at.state, at.pid) for at in status.workers] == [("stopped", None)] * 2


def test_each_worker_leaves_when_it_is_idle(bare_harness: RunnerHarness) -> None:
    long = bare_harness.submit("slow", num_images=2)
    short = bare_harness.submit("a castle")
    with start(bare_harness, idle_seconds=0.2):
        at_work = worker_of(bare_harness, long)
        bare_harness.wait_for(short)
        left = wait_for_workers(bare_harness, 1)
        assert [at.pid for at in left.workers if at.pid] == [at_work.pid]
        assert bare_harness.state(long) is State.PROCESSING
        bare_harness.wait_for(long)
        wait_for_workers(bare_harness, 0)


def test_a_stuck_worker_does_not_hold_up_the_other(bare_harness: RunnerHarness) -> None:
    stuck, other = (bare_harness.submit("slow") for _ in range(2))
    with start(bare_harness, stall_seconds=4):
        at = worker_of(bare_harness, stuck)
        worker_of(bare_harness, other)
        assert at.pid is not None
        os.kill(at.pid, signal.SIGSTOP)
        more = [bare_harness.submit(f"picture {number}") for number in range(3)]
        assert [bare_harness.wait_for(job).attempts for job in (other, *more)] == [1] * 4
        assert bare_harness.state(stuck) is State.PROCESSING
        assert is_running(at.pid)
        assert bare_harness.wait_for(stuck).attempts == 2
        assert not is_running(at.pid)


def test_sigterm_does_not_wait_in_line_behind_a_stuck_worker(bare_harness: RunnerHarness) -> None:
    stuck, other = (bare_harness.submit("slow") for _ in range(2))
    with start(bare_harness) as runner:
        at = worker_of(bare_harness, stuck)
        worker_of(bare_harness, other)
        os.kill(at.pid or 0, signal.SIGSTOP)
        assert runner.process is not None
        runner.process.send_signal(signal.SIGTERM)
        bare_harness.wait_for(other, State.PENDING)
        assert is_running(at.pid or 0)
        assert runner.end(signal.SIGTERM) == 0  # the second one waits for nobody
    assert [bare_harness.stored(job).attempts for job in (stuck, other)] == [1, 0]


def test_a_job_goes_to_the_worker_that_has_its_model_warm(bare_harness: RunnerHarness) -> None:
    models = ("tiny-sd", "tiny-flux")
    first = [bare_harness.submit("slow", model=model) for model in models]
    with start(bare_harness) as runner:
        for job in first:
            bare_harness.wait_for(job)
        for model in (*reversed(models), *models, *models):
            wait_for_rest(bare_harness)  # a job that has ended is heard of a little later
            bare_harness.wait_for(bare_harness.submit(model=model))
        assert runner.output().count("A model is loaded.") == 2


def test_a_device_that_is_not_there_leaves_the_others_working(
    bare_harness: RunnerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_ABSENT", "cuda:1")
    jobs = [bare_harness.submit("slow") for _ in range(3)]
    with start(bare_harness) as runner:
        assert [bare_harness.wait_for(job).attempts for job in jobs] == [1] * 3
        said = bare_harness.wait_for_status(lambda status: status.workers[1].state == "paused", "the refusal", "cuda:0")
        assert said.workers[1].message == "CYBERIMAGE_DEVICE is 'cuda:1', which is not there."
        assert runner.output().count("A worker has started.") == 2


def test_a_second_runner_for_one_of_the_devices_names_the_first_and_leaves(bare_harness: RunnerHarness) -> None:
    with start(bare_harness) as first:
        bare_harness.wait_for_status(lambda status: status.pid == first.pid, "the first runner", "cuda:0")
        second = start(bare_harness, "cpu,cuda:1")
        second.start()
        assert second.process is not None
        assert second.process.wait(PATIENCE) == 75
        assert f"A runner for cuda:1 already works on {bare_harness.data}: process {first.pid}." in second.output()
        with start(bare_harness, "cpu"):
            living = {at.device: at for at in runner_status.read_living(bare_harness.spool.layout)}
            assert {"cuda:0", "cuda:1"} <= set(living)


def test_runners_for_auto_and_for_the_device_that_it_stands_for_take_turns(
    bare_harness: RunnerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_AUTO", "cuda:0")
    first = bare_harness.submit("slow")
    with start(bare_harness, "auto"):
        bare_harness.wait_for_steps(first)
        with start(bare_harness, "cuda:0"):
            others = [bare_harness.submit(f"slow {number}") for number in range(2)]
            bare_harness.wait_for_status(
                lambda status: "Another worker still has the device cuda:0" in (status.message or ""),
                "the second runner to say what it waits for",
                "cuda:0",
            )
            assert [bare_harness.wait_for(job).attempts for job in (first, *others)] == [1] * 3


@pytest.mark.parametrize("device", ["cpu", "cuda:1,cuda:0"])
def test_a_hanging_orphan_is_killed_by_whoever_comes_next_on_whatever_device(
    bare_harness: RunnerHarness, device: str
) -> None:
    job = bare_harness.submit("hang once")
    with start(bare_harness, "cuda:0") as first:
        bare_harness.wait_for_status(lambda status: status.loaded_models, "the job to hang", "cuda:0")
        orphan = bare_harness.worker_pid("cuda:0")
        kill(first)
    key = device.partition(",")[0]
    with start(bare_harness, device) as second:  # it is killed too, before the orphan's time is over
        told = bare_harness.wait_for_status(lambda status: status.pid == second.pid, "the second runner", key)
        assert [(mark.device, mark.pid) for mark in told.orphans] == [("cuda:0", orphan)]
        kill(second)
    assert is_running(orphan)
    with start(bare_harness, device, stall_seconds=1):
        assert bare_harness.wait_for(job).attempts == 2
        assert not is_running(orphan)
        bare_harness.wait_for_status(lambda status: not status.orphans, "the orphan to be forgotten", key)


def kill(runner: Program) -> None:
    """SIGKILL to the supervisor alone."""
    assert runner.process is not None
    os.kill(runner.pid, signal.SIGKILL)
    runner.process.wait()


def test_logs_of_a_runner_say_which_worker(bare_harness: RunnerHarness) -> None:
    jobs = [bare_harness.submit("slow") for _ in range(2)]
    with start(bare_harness) as runner:
        for job in jobs:
            bare_harness.wait_for(job)
        started = [line for line in runner.output().splitlines() if "A worker has started." in line]
    assert {device for device in ("cuda:0", "cuda:1") for line in started if device in line} == {"cuda:0", "cuda:1"}
