"""Workers that neither work nor end: stopped, or waiting for the kernel without end (reliability.md D9, E4)."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.claims import recover_all
from jobs.schema import State
from tests.faults.power import Disk, disk
from tests.faults.table import record
from tests.programs import processor_seconds, wait_until
from tests.runner_harness import RunnerHarness, is_running


def test_a_stopped_worker_is_not_taken_for_dead(bare_harness: RunnerHarness) -> None:
    job = bare_harness.submit("slow")
    with bare_harness.stub_runner():
        bare_harness.wait_for_steps(job)
        worker = bare_harness.kill_worker(signal.SIGSTOP)
        assert recover_all(bare_harness.spool, max_attempts=3) == 0
        assert bare_harness.state(job) is State.PROCESSING
        assert not bare_harness.spool.is_stalled(job.id)
        os.kill(worker, signal.SIGCONT)
        assert bare_harness.wait_for(job).outcome == "completed"
    assert bare_harness.stored(job).attempts == 1
    record("D9 a worker under SIGSTOP", 1)


@pytest.fixture
def frozen_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A file system on which every write waits, uninterruptibly, until it is thawed."""
    with disk() as made:
        done = subprocess.run(["fsfreeze", "-f", str(made.mount_point)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a file system cannot be frozen here: {done.stderr.strip()}")
        monkeypatch.setenv("STUB_FROZEN_FOLDER", str(made.mount_point))
        yield made
        thaw(made)


def thaw(frozen: Disk) -> None:
    """Let the writes go on; a second time does nothing."""
    subprocess.run(["fsfreeze", "-u", str(frozen.mount_point)], capture_output=True, check=False)


def kernel_state(pid: int) -> str:
    """R, S, D, ...: what the kernel says of a process."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


def test_a_worker_that_cannot_be_killed_keeps_its_job_and_the_device(
    bare_harness: RunnerHarness, frozen_disk: Disk
) -> None:
    job = bare_harness.submit("freeze once")
    try:
        with bare_harness.stub_runner(stall_seconds=1) as runner:
            bare_harness.wait_for_status(lambda status: status.loaded_models, "the job to begin")
            worker = bare_harness.worker_pid()
            told = bare_harness.wait_for_status(lambda status: status.state == "paused", "the supervisor to kill it")
            assert f"process {worker}" in (told.message or "")
            other = bare_harness.submit("a castle")
            wait_until(lambda: kernel_state(worker) == "D", about="the worker to wait for the disk")
            assert recover_all(bare_harness.spool, max_attempts=3) == 0
            assert not bare_harness.spool.is_stalled(job.id)
            assert (bare_harness.state(job), bare_harness.state(other)) == (State.PROCESSING, State.PENDING)
            before = processor_seconds(runner.pid)
            time.sleep(3)
            assert processor_seconds(runner.pid) - before < 1, "the supervisor waits without turning in circles"
            assert bare_harness.worker_pid() == worker, "no second worker begins on this device"
            thaw(frozen_disk)
            wait_until(lambda: not is_running(worker), about="the worker to die")
            assert bare_harness.wait_for(other).outcome == "completed"
            assert bare_harness.wait_for(job).outcome == "completed"
    finally:
        thaw(frozen_disk)
    assert bare_harness.stored(job).attempts == 2
    record("E4 a worker in state D, that survives SIGKILL", 1)


def test_a_worker_that_cannot_be_killed_holds_up_neither_the_other_nor_the_end(
    bare_harness: RunnerHarness, frozen_disk: Disk
) -> None:
    job = bare_harness.submit("freeze once")
    try:
        with bare_harness.stub_runner(device="cuda:0,cuda:1", stall_seconds=1) as runner:
            told = bare_harness.wait_for_status(
                lambda status: any(at.state == "paused" for at in status.workers), "the supervisor to kill it", "cuda:0"
            )
            (stuck,) = (at for at in told.workers if at.state == "paused")
            assert stuck.pid is not None
            others = [bare_harness.submit(f"picture {number}") for number in range(3)]
            assert [bare_harness.wait_for(other).attempts for other in others] == [1] * 3
            assert runner.end(signal.SIGTERM) == 0
            assert kernel_state(stuck.pid) == "D"
        with bare_harness.stub_runner(device="cuda:1", stall_seconds=1) as runner:
            told = bare_harness.wait_for_status(lambda status: status.pid == runner.pid, "the next runner", "cuda:1")
            assert [(mark.device, mark.pid) for mark in told.orphans] == [(stuck.slot, stuck.pid)]
            assert bare_harness.state(job) is State.PROCESSING
            thaw(frozen_disk)
            assert bare_harness.wait_for(job).outcome == "completed"
    finally:
        thaw(frozen_disk)
    assert bare_harness.stored(job).attempts == 2
    record("E4 a worker in state D beside another one", 1)
