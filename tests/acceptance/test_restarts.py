"""`kill -9` of every program in the middle of a job loses nothing; the job completes after a restart."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from core.layout import Layout
from jobs.schema import State
from jobs.spool import Spool
from tests import programs
from tests.programs import ApiProcess, Program, wait_until

JOB = {
    "model_id": "demo",
    "prompt": "a lighthouse",
    "settings": {"num_images": 2, "num_inference_steps": 25, "seed": 3},
}


def submit(api: ApiProcess) -> str:
    """Post the job; returns its id."""
    return str(api.post("/generate", json=JOB).json()["job_id"])


def wait_for_step(api: ApiProcess, job_id: str) -> None:
    """Wait until the worker is in the middle of an image."""
    wait_until(lambda: api.status(job_id)["progress"]["generating"], 240, "a step")


def worker_pid(runner: Program) -> int:
    """The process id of the runner's worker."""
    children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children")
    return int(wait_until(lambda: children.read_text(encoding="ascii").split(), about="a worker")[0])


def test_a_killed_worker_costs_one_attempt(data: Path) -> None:
    with programs.api(data) as api, programs.runner(data) as runner:
        job_id = submit(api)
        wait_for_step(api, job_id)
        os.kill(worker_pid(runner), signal.SIGKILL)
        status = api.wait_for(job_id, "completed")
        assert status["attempts"] == 2
        assert len(status["images"]) == 2


def test_a_killed_runner_is_made_good_by_the_next(data: Path) -> None:
    with programs.api(data) as api:
        with programs.runner(data) as runner:
            job_id = submit(api)
            wait_for_step(api, job_id)
            os.kill(runner.pid, signal.SIGKILL)
        with programs.runner(data):
            assert len(api.wait_for(job_id, "completed")["images"]) == 2


def test_a_killed_api_loses_no_job_that_it_acknowledged(data: Path) -> None:
    with programs.api(data) as api:
        ids = [submit(api) for _ in range(3)]
        api.kill_all()
    spool = Spool(Layout(data))
    assert {spool.find(job_id)[0] for job_id in ids} == {State.PENDING}
    with programs.api(data) as api, programs.runner(data):
        for job_id in ids:
            api.wait_for(job_id, "completed")


def test_sigterm_puts_the_job_back_without_losing_an_attempt(data: Path) -> None:
    with programs.api(data) as api:
        with programs.runner(data) as runner:
            job_id = submit(api)
            wait_for_step(api, job_id)
            assert runner.end(signal.SIGTERM, timeout=30) == 0
        status = api.status(job_id)
        assert (status["status"], status["attempts"]) == ("pending", 0)
        with programs.runner(data):
            assert api.wait_for(job_id, "completed")["attempts"] == 1


def test_drops_are_adopted_while_the_api_is_down(data: Path) -> None:
    with programs.runner(data, {"CYBERIMAGE_WATCH": "off"}):
        (data / "spool" / "incoming" / "castle.json").write_text(
            json.dumps(
                {"id": "castle", "model_id": "demo", "prompt": "a castle", "settings": {"num_inference_steps": 2}}
            ),
            encoding="utf-8",
        )
        wait_until((data / "spool" / "completed" / "castle.json").exists, 240, "the job")
    with programs.api(data) as api:
        assert api.status("castle")["status"] == "completed"
