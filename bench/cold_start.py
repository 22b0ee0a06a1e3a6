"""From a job that comes in while no worker process runs to its first step, against a bare script that does the same.

The runner is the real one with the demo model; the script only imports, loads and draws. Both are started in turns.
Prints where the runner's time goes, and how long the second job, on the warm model, takes to its first step.

    python -m bench.cold_start [--rounds 3] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from core.layout import Layout
from jobs import runner_status
from jobs.catalog import Catalog
from jobs.requests import RequestValidator
from jobs.runner_status import RunnerState
from jobs.schema import Job, Phase, State
from jobs.spool import Spool

REPOSITORY: Final = Path(__file__).resolve().parent.parent
PIPELINE: Final = REPOSITORY / "demo_model" / "pipeline"
STEPS: Final = 4
#: How long the worker waits for a second job before it leaves, in seconds.
IDLE_SECONDS: Final = 1.0
PATIENCE: Final = 300.0
#: The part of the bare script's time that the runner may add: its own process, pipes, claim and files.
GOAL: Final = 1.25

BARE: Final = """
import sys, torch
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained(sys.argv[1], dtype=torch.float32, use_safetensors=True)

def after_step(pipeline, index, timestep, tensors):
    print("step", flush=True)
    return tensors

pipeline("a red house", num_inference_steps=4, height=256, width=256, callback_on_step_end=after_step)
"""


def wait_until(condition: Callable[[], Any], about: str) -> float:
    """Poll every 2 ms until `condition` is true; returns the moment."""
    deadline = time.perf_counter() + PATIENCE
    while time.perf_counter() < deadline:
        if condition():
            return time.perf_counter()
        time.sleep(0.002)
    raise RuntimeError(f"{about} did not happen within {PATIENCE:.0f} s")


class Harness:
    """A data directory with a real runner on it."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(Layout(folder / "data"))
        self.spool.prepare()
        catalog = Catalog.load(REPOSITORY / "models.toml", folder)
        self._validator = RequestValidator(catalog, prompt_limit=500)

    @contextmanager
    def runner(self) -> Iterator[None]:
        """A runner whose worker leaves soon."""
        environment = os.environ | {
            "CYBERIMAGE_DATA": str(self.spool.layout.data),
            "CYBERIMAGE_IDLE_SECONDS": str(IDLE_SECONDS),
            "CYBERIMAGE_RESERVE_MB": "0",
            "CYBERIMAGE_LOG_LEVEL": "warning",
        }
        process = subprocess.Popen([sys.executable, "-m", "runner"], cwd=REPOSITORY, env=environment)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)

    def submit(self) -> Job:
        """A pending job for one picture."""
        body = {"model_id": "demo", "prompt": "a red house", "settings": {"num_inference_steps": STEPS}}
        request = self._validator.generate(json.dumps(body).encode())
        order = self.spool.clock.issue()
        job = self._validator.job(request, job_id=order, order=order, source="http")
        self.spool.submit(job)
        return job

    def has_no_worker(self) -> bool:
        """Whether the runner lives and waits without a worker process."""
        runners = runner_status.read_living(self.spool.layout)
        return any(at.status and at.status.state is RunnerState.IDLE and at.status.worker_pid is None for at in runners)

    def has_worker(self) -> bool:
        """Whether there is a worker process."""
        runners = runner_status.read_living(self.spool.layout)
        return any(at.status and at.status.worker_pid is not None for at in runners)

    def has_reached(self, job: Job, phase: Phase, step: int = 0) -> bool:
        """Whether a job is in a phase (or beyond it) and has done so many steps."""
        state, stored = self.spool.find(job.id)
        if state is State.COMPLETED:
            return True
        progress = self.spool.progress(stored) if state is State.PROCESSING else None
        order = list(Phase)
        return progress is not None and order.index(progress.phase) >= order.index(phase) and progress.step >= step

    def cold(self) -> dict[str, float]:
        """Seconds from the submission of a job to each station, the first step last."""
        wait_until(self.has_no_worker, "the runner to be without a worker")
        began = time.perf_counter()
        job = self.submit()
        times = {
            "worker process": wait_until(self.has_worker, "a worker"),
            "claimed": wait_until(lambda: self.has_reached(job, Phase.PREPARING), "the claim"),
            "loading": wait_until(lambda: self.has_reached(job, Phase.LOADING_MODEL), "the load"),
            "drawing": wait_until(lambda: self.has_reached(job, Phase.GENERATING), "the model"),
            "first step": wait_until(lambda: self.has_reached(job, Phase.GENERATING, 1), "the first step"),
        }
        wait_until(lambda: self.has_reached(job, Phase.SAVING, STEPS), "the picture")
        wait_until(lambda: self.spool.find(job.id)[0] is State.COMPLETED, "the end of the job")
        return {name: moment - began for name, moment in times.items()}

    def warm(self) -> float:
        """Seconds from the submission of a job to its first step while the worker and its model are there."""
        began = time.perf_counter()
        job = self.submit()
        seconds = wait_until(lambda: self.has_reached(job, Phase.GENERATING, 1), "the first step") - began
        wait_until(lambda: self.spool.find(job.id)[0] is State.COMPLETED, "the end of the job")
        return seconds


def bare() -> float:
    """Seconds from the start of the bare script to its first step."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", BARE, str(PIPELINE)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - began
        if line.strip() != "step":
            raise RuntimeError("the bare script failed")
        process.communicate()
    return seconds


def measure(rounds: int, *, say: bool) -> list[dict[str, Any]]:
    """The rows, as `bench.results.Row` has them."""
    cold, warm, scripts = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(Path(folder))
        with harness.runner():
            for number in range(rounds):
                scripts.append(bare())
                cold.append(harness.cold())
                warm.append(harness.warm())
                if say:
                    stations = ", ".join(f"{name} {seconds:.2f}" for name, seconds in cold[-1].items())
                    print(f"round {number + 1}: bare {scripts[-1]:.2f} s; runner: {stations} s; warm {warm[-1]:.3f} s")
    ratio = median(ours["first step"] / script for ours, script in zip(cold, scripts, strict=True))
    details = {name: round(median(it[name] for it in cold), 3) for name in cold[0]}
    return [
        {
            "number": "cold",
            "what": "no worker process to the first step, against a bare script",
            "figure": f"{ratio:.2f} x ({details['first step']:.2f} s and {median(scripts):.2f} s)",
            "goal": f"<= {GOAL:g} x",
            "met": ratio <= GOAL,
            "details": details,
        },
        {
            "number": "cold",
            "what": "second job on the warm model, to its first step",
            "figure": f"{1000 * median(warm):.0f} ms",
            "details": {},
        },
    ]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.cold_start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the rows for `python -m bench`")
    options = parser.parse_args()
    rows = measure(options.rounds, say=not options.json)
    if options.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        print(f"{row['what']}: {row['figure']} {row.get('goal', '')} {row['details']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
