"""The supervisor as a program, with a worker that only pretends to draw: order, crashes, hangs, signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from jobs import runner_status
from jobs.ids import image_id
from jobs.pause import pause, resume
from jobs.runner_status import RunnerStatus
from jobs.schema import State
from runner.worker_process import processors
from service.deletion import delete_image
from service.queue import End, move
from tests.indexes import data_at
from tests.programs import Program, wait_until
from tests.runner_harness import RunnerHarness, is_running


def start(harness: RunnerHarness, **settings: object) -> Program:
    return harness.stub_runner(**({"scan_seconds": 0.2} | settings))


def test_jobs_run_in_order_of_acceptance_and_an_idle_worker_leaves(bare_harness: RunnerHarness) -> None:
    jobs = [bare_harness.submit(f"picture {number}") for number in range(3)]
    with start(bare_harness, idle_seconds=0.2) as runner:
        done = [bare_harness.wait_for(job) for job in jobs]
        bare_harness.wait_for_status(lambda status: status.worker_pid is None, "the worker to leave")
        late = bare_harness.wait_for(bare_harness.submit("a late one"))
        assert late.outcome == "completed"
        assert runner.output().count("A worker has started.") == 2
    started = [job.started_at or "" for job in done]
    assert started == sorted(started)
    assert [job.attempts for job in done] == [1, 1, 1]


def test_no_job_is_begun_while_the_queue_is_paused_and_moved_jobs_come_in_their_new_order(
    bare_harness: RunnerHarness,
) -> None:
    """Both are known at once: the next scan would be a minute later."""
    pause(bare_harness.spool)
    jobs = [bare_harness.submit(f"picture {number}") for number in range(3)]
    data = data_at(bare_harness.data)
    data.jobs.repair()
    with start(bare_harness, scan_seconds=60):
        bare_harness.wait_for_status(lambda status: "queue is paused" in (status.message or ""), "the pause to be told")
        assert [bare_harness.state(job) for job in jobs] == [State.PENDING] * 3
        move(data, jobs[2].id, End.FRONT)
        resume(bare_harness.spool)
        done = [bare_harness.wait_for(job) for job in jobs]
        bare_harness.wait_for_status(lambda status: status.state == "idle", "the end of the pause to be told")
    assert sorted(range(3), key=lambda number: done[number].started_at or "") == [2, 0, 1]


def test_a_job_that_waits_for_a_worker_is_chosen_again_after_a_move(
    bare_harness: RunnerHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = tmp_path / "events"
    monkeypatch.setenv("TEST_EVENTS", str(events))
    bare_harness.submit("kill")
    other = bare_harness.submit()
    data = data_at(bare_harness.data)
    data.jobs.repair()
    with start(bare_harness, max_attempts=20, scan_seconds=60):
        bare_harness.wait_for_status(lambda status: "crashed repeatedly" in (status.message or ""), "a pause")
        pause(bare_harness.spool)
        bare_harness.wait_for_status(
            lambda status: status.state == "paused" and not status.worker_pid and not status.job_id, "no worker"
        )
        move(data, other.id, End.FRONT)
        before = len(events.read_text().splitlines())
        resume(bare_harness.spool)
        bare_harness.wait_for(other)
        assert events.read_text().splitlines()[before] == f"drawing {image_id(other.order, 1)}"


def test_a_dropped_file_becomes_a_finished_job(bare_harness: RunnerHarness) -> None:
    with start(bare_harness):
        drop = bare_harness.spool.layout.incoming / "castle.json"
        drop.write_text('{"id": "castle", "model_id": "tiny-sd", "prompt": "a castle"}', encoding="utf-8")
        finished = bare_harness.spool.path(State.COMPLETED, "castle")
        wait_until(finished.exists, about="the drop to be drawn")
        assert not drop.exists()


@pytest.mark.parametrize("fault", ["kill", "exit"])
def test_a_crash_costs_one_attempt_and_the_next_worker_finishes_the_job(
    bare_harness: RunnerHarness, fault: str
) -> None:
    job = bare_harness.submit(f"{fault} once")
    with start(bare_harness):
        assert bare_harness.wait_for(job).outcome == "completed"
        assert bare_harness.stored(job).attempts == 2


def test_a_poisonous_job_is_given_up_with_its_cause_and_others_go_on(bare_harness: RunnerHarness) -> None:
    poison = bare_harness.submit("kill")
    good = bare_harness.submit("a castle")
    with start(bare_harness, max_attempts=3, retry_delays="0.1,0.1"):
        assert bare_harness.wait_for(good).outcome == "completed"
        failed = bare_harness.wait_for(poison)
    assert failed.error is not None
    assert (failed.outcome, failed.attempts, failed.error.type) == ("failed", 3, "runner_died")
    assert "signal 9 (SIGKILL)" in failed.error.message
    assert "3 attempts" in failed.error.message


def test_odd_files_in_its_folders_hinder_no_runner(bare_harness: RunnerHarness) -> None:
    spool = bare_harness.spool
    for folder in (spool.layout.temporary, spool.layout.progress, spool.layout.locks, spool.layout.cancel):
        (folder / "odd.json").mkdir()
    os.mkfifo(spool.layout.temporary / "pipe")
    for state in (State.PENDING, State.PROCESSING):
        spool.path(state, f"{state}-garbage").write_bytes(b"{")
        spool.path(state, f"{state}-newer").write_bytes(b'{"schema": 2}')
    with start(bare_harness) as runner:
        assert bare_harness.wait_for(bare_harness.submit()).outcome == "completed"
        assert bare_harness.wait_for(bare_harness.submit()).outcome == "completed"
        said = runner.output()
    assert "Traceback" not in said
    assert (
        said.count("processing-garbage.json cannot be read") == said.count("pending-garbage.json cannot be read") == 1
    )
    assert sorted(spool.ids(State.PENDING)) == ["pending-newer"]
    assert sorted(spool.ids(State.PROCESSING)) == ["processing-newer"]


LOST = "No job is begun while the data directory cannot be used"
FOUND = "The data directory can be used again"


@pytest.mark.parametrize("way", ["removed", "unmounted", "without its mark"])
def test_a_runner_waits_while_its_data_directory_is_gone(bare_harness: RunnerHarness, way: str) -> None:
    data, away = bare_harness.data, bare_harness.folder / "away"
    with start(bare_harness) as runner:
        bare_harness.wait_for(bare_harness.submit())
        if way == "without its mark":
            bare_harness.spool.layout.marker.rename(away)
        else:
            data.rename(away)
        if way == "unmounted":
            data.mkdir()
        wait_until(lambda: LOST in runner.output(), about="the runner to notice")
        time.sleep(1)  # several scans
        assert runner.output().count(LOST) == 1
        if way == "without its mark":
            bare_harness.wait_for_status(lambda status: "gone" in (status.message or ""), "the pause to be shown")
            away.rename(bare_harness.spool.layout.marker)
        else:
            assert not data.exists() or list(data.iterdir()) == []
            if way == "unmounted":
                data.rmdir()
            away.rename(data)
        assert bare_harness.wait_for(bare_harness.submit()).outcome == "completed"
        assert FOUND in runner.output()
        assert "Traceback" not in runner.output()


def test_a_runner_goes_on_in_a_data_directory_that_was_made_again(bare_harness: RunnerHarness) -> None:
    with start(bare_harness) as runner:
        bare_harness.wait_for(bare_harness.submit())
        bare_harness.data.rename(bare_harness.folder / "away")
        shutil.rmtree(bare_harness.folder / "away", ignore_errors=True)
        wait_until(lambda: LOST in runner.output(), about="the runner to notice")
        bare_harness.spool.prepare()  # as an API that is started again
        assert bare_harness.wait_for(bare_harness.submit()).outcome == "completed"
        living = [found.device for found in runner_status.read_living(bare_harness.spool.layout)]
        assert living == ["cpu"]
        assert "Traceback" not in runner.output()


@pytest.mark.parametrize("folder", ["completed", "processing", "incoming", "tmp", "locks", "progress", "bell"])
def test_a_folder_that_was_removed_is_made_again(bare_harness: RunnerHarness, folder: str) -> None:
    with start(bare_harness) as runner:
        bare_harness.wait_for(bare_harness.submit())
        shutil.rmtree(bare_harness.spool.layout.spool / folder)
        wait_until((bare_harness.spool.layout.spool / folder).is_dir, about="the folder to be made again")
        assert bare_harness.wait_for(bare_harness.submit()).outcome == "completed"
        assert "Traceback" not in runner.output()


def test_a_worker_without_progress_is_killed_and_the_job_tried_again(bare_harness: RunnerHarness) -> None:
    job = bare_harness.submit("hang once")
    with start(bare_harness, stall_seconds=1):
        done = bare_harness.wait_for(job)
    assert (done.outcome, done.attempts) == ("completed", 2)


def test_a_worker_that_dies_before_it_has_a_job_burns_no_attempts(
    bare_harness: RunnerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_WORKER_BROKEN", "1")
    job = bare_harness.submit()
    with start(bare_harness) as runner:
        bare_harness.wait_for_status(lambda status: status.state == "paused", "the runner to pause")
        assert (bare_harness.state(job), bare_harness.stored(job).attempts) == (State.PENDING, 0)
        assert "The worker died: exit status 1." in runner.output()


def test_sigterm_puts_the_job_back_with_its_attempt(bare_harness: RunnerHarness) -> None:
    job = bare_harness.submit("slow")
    with start(bare_harness) as runner:
        bare_harness.wait_for_steps(job)
        worker = bare_harness.worker_pid()
        assert runner.end(signal.SIGTERM) == 0
    assert (bare_harness.state(job), bare_harness.stored(job).attempts) == (State.PENDING, 0)
    assert not is_running(worker)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_an_image_that_was_deleted_stays_deleted_however_its_job_goes_on(bare_harness: RunnerHarness, end: int) -> None:
    job = bare_harness.submit("linger", num_images=3)
    images = [image_id(job.order, number) for number in (1, 2, 3)]
    with start(bare_harness) as runner:
        wait_until(lambda: bare_harness.store.sidecar_path(images[0]).exists(), about="the first image")
        delete_image(bare_harness.spool, bare_harness.store, images[0])
        if end == signal.SIGTERM:
            runner.end(signal.SIGTERM)
        else:
            bare_harness.kill_worker()
            assert bare_harness.wait_for(job).attempts == 2
    with start(bare_harness):
        bare_harness.wait_for(job, State.COMPLETED)
    assert [found.id for found in bare_harness.images_of(job)] == images[1:]
    assert not list((bare_harness.spool.layout.spool / "deleted").iterdir())


def test_a_worker_that_does_not_stop_is_killed(bare_harness: RunnerHarness) -> None:
    job = bare_harness.submit("slow deaf")
    with start(bare_harness) as runner:
        bare_harness.wait_for_steps(job)
        assert runner.process is not None
        runner.process.send_signal(signal.SIGTERM)
        runner.end(signal.SIGTERM)  # the second request does not wait for the step
    assert bare_harness.stored(job).attempts == 1


def test_a_killed_supervisor_leaves_no_worker_and_the_next_one_goes_on(bare_harness: RunnerHarness) -> None:
    job = bare_harness.submit("slow")
    with start(bare_harness) as first:
        bare_harness.wait_for_steps(job)
        worker = bare_harness.worker_pid()
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: not is_running(worker), about="the worker to notice")
    assert (bare_harness.state(job), bare_harness.stored(job).attempts) == (State.PENDING, 0)
    with start(bare_harness):
        assert bare_harness.wait_for(job).outcome == "completed"


def test_a_hanging_orphan_keeps_the_device_until_it_is_killed(bare_harness: RunnerHarness) -> None:
    job = bare_harness.submit("hang once")
    with start(bare_harness) as first:
        bare_harness.wait_for_status(lambda status: status.loaded_models, "the job to hang")
        orphan = bare_harness.worker_pid()
        os.kill(first.pid, signal.SIGKILL)
        assert first.process is not None
        first.process.wait()
    assert is_running(orphan)
    other = bare_harness.submit("a castle")
    with start(bare_harness, stall_seconds=5):
        bare_harness.wait_for_status(
            lambda status: "Another worker" in (status.message or ""), "the new worker to wait for the device"
        )
        assert bare_harness.state(other) is State.PENDING
        assert is_running(orphan)
        assert bare_harness.wait_for(other).outcome == "completed"
        assert not is_running(orphan)
        assert bare_harness.wait_for(job).outcome == "completed"


def test_a_second_runner_names_the_first_and_leaves(bare_harness: RunnerHarness) -> None:
    with start(bare_harness) as first:
        bare_harness.wait_for_status(lambda status: status.pid == first.pid, "the first runner")
        second = start(bare_harness)
        second.start()
        assert second.process is not None
        assert second.process.wait(60) == 75
        assert f"process {first.pid}" in second.output()


def test_two_runners_with_different_devices_leave_each_other_alone(bare_harness: RunnerHarness) -> None:
    first_job = bare_harness.submit("slow")
    with start(bare_harness, device="cuda:0"):
        worker = bare_harness.worker_pid("cuda:0")
        bare_harness.wait_for(first_job, State.PROCESSING)
        with start(bare_harness, device="cuda:1", stall_seconds=1):
            second = bare_harness.wait_for_status(lambda status: status.pid, "the second runner", "cuda:1")
            assert bare_harness.wait_for(first_job).attempts == 1
            time.sleep(1.5)  # longer than the second runner's patience with a worker that an earlier runner left
            assert is_running(worker)
            others = [bare_harness.submit("slow") for _ in range(2)]
            wait_until(
                lambda: (
                    {
                        runner.device
                        for runner in runner_status.read_living(bare_harness.spool.layout)
                        if _is_drawing(runner)
                    }
                    == {"cuda:0", "cuda:1"}
                ),
                about="both runners to draw",
            )
            assert [bare_harness.wait_for(job).attempts for job in others] == [1, 1]
    stopped = runner_status.read(bare_harness.spool.layout, "cuda:1")
    assert stopped is not None
    assert (stopped.pid, stopped.state) == (second.pid, "stopped")


def is_written_by(pid: int, status: RunnerStatus) -> bool:
    """Whether a status file is that of this supervisor."""
    return status.pid == pid


def test_runners_for_auto_and_cpu_tell_of_themselves_in_files_of_their_own(bare_harness: RunnerHarness) -> None:
    (bare_harness.data / "runner.json").write_text("{}", encoding="utf-8")  # as an earlier version left it
    with start(bare_harness, device="auto") as one, start(bare_harness, device="cpu") as other:
        for device, runner in (("auto", one), ("cpu", other)):
            bare_harness.wait_for_status(partial(is_written_by, runner.pid), "its status file", device)
    names = sorted(path.name for path in bare_harness.data.glob("runner*"))
    assert names == ["runner.auto.json", "runner.cpu.json"]


def _is_drawing(runner: runner_status.Runner) -> bool:
    return runner.status is not None and runner.status.job_id is not None


def test_a_cancelled_job_stops_at_its_next_step(bare_harness: RunnerHarness) -> None:
    job = bare_harness.submit("slow")
    with start(bare_harness):
        bare_harness.wait_for_steps(job)
        bare_harness.spool.cancel(job.id)
        assert bare_harness.wait_for(job).outcome == "cancelled"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"scan_seconds": "soon"}, "CYBERIMAGE_SCAN_SECONDS is 'soon'"),
        ({"retry_delays": "0s,30s"}, "CYBERIMAGE_RETRY_DELAYS is '0s,30s'; it must be numbers of seconds"),
        ({"catalog": "/nowhere/models.toml"}, "There is no model catalog at /nowhere/models.toml"),
    ],
)
def test_a_wrong_setting_ends_the_runner_with_a_sentence(
    bare_harness: RunnerHarness, setting: dict[str, str], sentence: str
) -> None:
    runner = bare_harness.runner(**setting)
    runner.start()
    assert runner.process is not None
    assert runner.process.wait(60) == 78
    assert sentence in runner.output()


def test_a_folder_that_is_no_data_directory_is_refused(bare_harness: RunnerHarness, tmp_path: Path) -> None:
    (tmp_path / "unmounted").mkdir()
    runner = bare_harness.runner(data=str(tmp_path / "unmounted"))
    runner.start()
    assert runner.process is not None
    assert runner.process.wait(60) == 78
    assert ".cyberimage" in runner.output()


def test_the_supervisor_loads_no_torch() -> None:
    code = "import sys, runner.__main__; print([m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_threads_are_as_many_as_the_processors_that_may_be_used() -> None:
    assert 1 <= processors() <= (os.cpu_count() or 1)


def test_a_catalog_that_is_wrong_for_a_while_is_told_and_waited_for(bare_harness: RunnerHarness) -> None:
    text = bare_harness.catalog_path.read_text(encoding="utf-8")
    with start(bare_harness) as runner:
        wait_until(lambda: "The runner has started." in runner.output(), about="the catalog to be read")
        bare_harness.catalog_path.write_text("nonsense", encoding="utf-8")
        job = bare_harness.submit("a castle")
        wait_until(lambda: "The worker has left." in runner.output(), about="the worker to meet it")
        assert "is not valid TOML" in runner.output()
        bare_harness.catalog_path.write_text(text, encoding="utf-8")
        assert bare_harness.wait_for(job).attempts == 1
        assert "Traceback" not in runner.output()
