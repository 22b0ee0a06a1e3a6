"""Faults of a whole runner: watching, stopped and killed processes, many drops (reliability.md C, D)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.claims import recover_all
from jobs.schema import State
from tests.faults.table import record
from tests.programs import Program, wait_until
from tests.runner_desk import RunnerDesk

FAKE = "tests.fake_worker"


@pytest.fixture
def bare_desk(tmp_path: Path) -> RunnerDesk:
    """A desk whose models are only names: the fake worker loads nothing."""
    for key in ("tiny-sd", "tiny-flux", "tiny-sd3"):
        (tmp_path / "weights" / key).mkdir(parents=True)
        (tmp_path / "weights" / key / "model_index.json").write_text("{}", encoding="utf-8")
    return RunnerDesk(tmp_path, tmp_path / "weights")


def start(desk: RunnerDesk, **settings: object) -> Program:
    return desk.runner(worker=FAKE, **({"idle_seconds": 60, "scan_seconds": 0.5} | settings))


def drop(desk: RunnerDesk, name: str) -> Path:
    path = desk.spool.incoming / f"{name}.json"
    path.write_text(json.dumps({"id": name, "model_id": "tiny-sd", "prompt": "a castle"}), encoding="utf-8")
    return path


def wait_for_adoption(desk: RunnerDesk, name: str) -> None:
    wait_until(lambda: desk.spool.exists(name), 60, f"the drop {name} to be adopted")


def remake(folder: Path) -> None:
    folder.rmdir()
    folder.mkdir()


def rename_and_remake(folder: Path) -> None:
    folder.rename(folder.with_name("moved-away"))
    folder.mkdir()


def remove(folder: Path) -> None:
    folder.rmdir()
    wait_until(folder.exists, 60, "the folder to be made again")


@pytest.mark.parametrize("change", [remake, rename_and_remake, remove])
def test_a_drop_zone_that_was_replaced_is_seen_again(bare_desk: RunnerDesk, change: Callable[[Path], None]) -> None:
    with start(bare_desk):
        drop(bare_desk, "before")
        wait_for_adoption(bare_desk, "before")
        wait_until(lambda: not os.listdir(bare_desk.spool.incoming), 60, "the drop to be gone")
        change(bare_desk.spool.incoming)
        drop(bare_desk, "after")
        wait_for_adoption(bare_desk, "after")
        drop(bare_desk, "later")
        wait_for_adoption(bare_desk, "later")
    record("D3 the drop zone renamed, remade or removed", 1)


def test_without_events_the_scan_finds_everything(bare_desk: RunnerDesk) -> None:
    with start(bare_desk, watch="off"):
        job = bare_desk.submit()
        drop(bare_desk, "castle")
        wait_for_adoption(bare_desk, "castle")
        assert bare_desk.wait_for(job).outcome == "completed"
    record("D4 D5 no file events at all", 2)


def test_many_drops_at_once_are_all_adopted(bare_desk: RunnerDesk) -> None:
    many_drops(bare_desk, 300, 120)


@pytest.mark.long
def test_15000_drops_at_once_are_all_adopted(bare_desk: RunnerDesk) -> None:
    many_drops(bare_desk, 15_000, 1800)


def many_drops(desk: RunnerDesk, count: int, patience: float) -> None:
    with start(desk, max_pending=count + 1):
        for number in range(count):
            drop(desk, f"drop-{number}")
        wait_until(lambda: not os.listdir(desk.spool.incoming), patience, "the drop zone to be empty")
    stored = {job_id for state in State for job_id in desk.spool.ids(state)}
    lost = [f"drop-{number} is lost" for number in range(count) if f"drop-{number}" not in stored]
    record(f"C15 {count} files dropped at once", count, lost)


def test_a_writer_that_is_killed_leaves_a_refused_file(bare_desk: RunnerDesk) -> None:
    path = bare_desk.spool.incoming / "half.json"
    code = f"import sys, time; f = open({str(path)!r}, 'w'); f.write('{{\"model_id\": '); f.flush(); time.sleep(600)"
    with start(bare_desk, quiet_seconds=1):
        with subprocess.Popen([sys.executable, "-c", code]) as writer:
            wait_until(lambda: path.exists() and path.stat().st_size, 60, "the half file")
            writer.kill()
        wait_until((bare_desk.spool.rejected / "half.json.reason.json").exists, 60, "the refusal")
        wait_until(lambda: not path.exists(), 60, "the drop to be gone")
    assert (bare_desk.spool.rejected / "half.json").read_text(encoding="utf-8") == '{"model_id": '
    record("C2 the writer of a drop is killed", 1)


def test_a_stopped_worker_is_not_taken_for_dead(bare_desk: RunnerDesk) -> None:
    job = bare_desk.submit("slow")
    with start(bare_desk):
        bare_desk.wait_for_steps(job)
        worker = bare_desk.kill_worker(signal.SIGSTOP)
        assert recover_all(bare_desk.spool, max_attempts=3) == 0
        assert bare_desk.state(job) is State.PROCESSING
        assert not bare_desk.spool.is_stalled(job.id)
        os.kill(worker, signal.SIGCONT)
        assert bare_desk.wait_for(job).outcome == "completed"
    assert bare_desk.stored(job).attempts == 1
    record("D9 a worker under SIGSTOP", 1)


def test_a_deleted_lock_file_lets_nothing_be_done_twice(bare_desk: RunnerDesk) -> None:
    job = bare_desk.submit("slow")
    with start(bare_desk):
        bare_desk.wait_for_steps(job)
        bare_desk.spool.lock_path(job.id).unlink()
        done = bare_desk.wait_for(job)
    assert done.outcome == "completed"
    places = [state for state in State if bare_desk.spool.path(state, job.id).exists()]
    record("D11 the lock of a running job is deleted", 1, [] if places == [State.COMPLETED] else [f"{places}"])


@pytest.mark.skipif(shutil.which("vim") is None, reason="vim is not installed")
def test_a_file_written_by_vim_is_adopted_once(bare_desk: RunnerDesk) -> None:
    text = '{"id": "castle", "model_id": "tiny-sd", "prompt": "a castle"}'
    with start(bare_desk):
        command = ["vim", "-es", "-u", "NONE", "-c", f"call setline(1, '{text}')", "-c", "wq", "castle.json"]
        subprocess.run(command, cwd=bare_desk.spool.incoming, check=False, timeout=60)
        wait_for_adoption(bare_desk, "castle")
    assert list(bare_desk.spool.rejected.iterdir()) == []
    record("C4 vim writes into the drop zone", 1)
