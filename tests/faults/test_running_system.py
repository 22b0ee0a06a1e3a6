"""Faults of a whole runner: many drops, killed writers, editors, a lock removed by hand (reliability.md C, D11)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.schema import State
from tests.faults.table import record
from tests.programs import wait_until
from tests.runner_harness import RunnerHarness


def test_many_drops_at_once_are_all_adopted(bare_harness: RunnerHarness) -> None:
    many_drops(bare_harness, 300, 120)


@pytest.mark.long
def test_15000_drops_at_once_are_all_adopted(fast_path: Path) -> None:
    many_drops(RunnerHarness.bare(fast_path), 15_000, 7000)


def many_drops(harness: RunnerHarness, count: int, patience: float) -> None:
    with harness.stub_runner(max_pending=count + 1):
        for number in range(count):
            harness.drop(f"drop-{number}")
        wait_until(lambda: not os.listdir(harness.spool.layout.incoming), patience, "the drop zone to be empty")
    stored = {job_id for state in State for job_id in harness.spool.ids(state)}
    lost = [f"drop-{number} is lost" for number in range(count) if f"drop-{number}" not in stored]
    record(f"C15 {count} files dropped at once", count, lost)


def test_a_writer_that_is_killed_leaves_a_refused_file(bare_harness: RunnerHarness) -> None:
    path = bare_harness.spool.layout.incoming / "half.json"
    code = f"import sys, time; f = open({str(path)!r}, 'w'); f.write('{{\"model_id\": '); f.flush(); time.sleep(600)"
    with bare_harness.stub_runner(quiet_seconds=1):
        with subprocess.Popen([sys.executable, "-c", code]) as writer:
            wait_until(lambda: path.exists() and path.stat().st_size, about="the half file")
            writer.kill()
        wait_until((bare_harness.spool.layout.rejected / "half.json.reason.json").exists, about="the refusal")
        wait_until(lambda: not path.exists(), about="the drop to be gone")
    assert (bare_harness.spool.layout.rejected / "half.json").read_text(encoding="utf-8") == '{"model_id": '
    record("C2 the writer of a drop is killed", 1)


def test_a_deleted_lock_file_lets_nothing_be_done_twice(bare_harness: RunnerHarness) -> None:
    job = bare_harness.submit("slow")
    with bare_harness.stub_runner():
        bare_harness.wait_for_steps(job)
        bare_harness.spool.layout.lock(job.id).unlink()
        done = bare_harness.wait_for(job)
    assert done.outcome == "completed"
    places = [state for state in State if bare_harness.spool.path(state, job.id).exists()]
    record("D11 the lock of a running job is deleted", 1, [] if places == [State.COMPLETED] else [f"{places}"])


@pytest.mark.skipif(shutil.which("vim") is None, reason="vim is not installed")
def test_a_file_written_by_vim_is_adopted_once(bare_harness: RunnerHarness) -> None:
    text = '{"id": "castle", "model_id": "tiny-sd", "prompt": "a castle"}'
    with bare_harness.stub_runner():
        command = ["vim", "-es", "-u", "NONE", "-c", f"call setline(1, '{text}')", "-c", "wq", "castle.json"]
        subprocess.run(command, cwd=bare_harness.spool.layout.incoming, check=False, timeout=60)
        bare_harness.wait_for_adoption("castle")
    assert list(bare_harness.spool.layout.rejected.iterdir()) == []
    record("C4 vim writes into the drop zone", 1)
