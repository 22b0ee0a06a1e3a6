"""The runner's own time on an image: a whole job against the bare pipeline call, in turns, in one process.

`python -m bench.runner_overhead` prints a line per round; `--json` prints the rows for `python -m bench`. The
model is the demo model where it is here, else a tiny pipeline with random weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Any, Final, NamedTuple

import torch

from core.layout import Layout
from core.settings import Settings
from engine.local.devices import choose
from engine.local.engine import LocalEngine
from engine.local.pipelines import Pipelines
from jobs.catalog import Catalog, ModelEntry
from jobs.limits import Limits
from jobs.requests import RequestValidator
from jobs.schema import Job
from jobs.spool import Spool
from outputs.inputs import InputStore
from outputs.store import ImageStore
from runner import progress_reporter
from runner.job_run import WorkerContext
from runner.messages import Event, Loading
from runner.stop_switch import StopSwitch
from runner.worker import Worker

REPOSITORY: Final = Path(__file__).resolve().parent.parent
DEMO: Final = REPOSITORY / "demo_model" / "pipeline"
IMAGES: Final = 2
GOAL_PERCENT: Final = 2.0
GOAL_CALLBACK_MS: Final = 0.5


class Times(NamedTuple):
    """Seconds on the clock, and seconds of processor time, which other programs on the machine do not lengthen."""

    clock: float
    processor: float


class Stopwatch:
    """Starts when it is made."""

    def __init__(self) -> None:
        self._clock, self._processor = time.perf_counter(), time.process_time()

    def per_image(self) -> Times:
        """The time since then, by image."""
        return Times((time.perf_counter() - self._clock) / IMAGES, (time.process_time() - self._processor) / IMAGES)


class Harness:
    """One worker in this process, on a data directory of its own."""

    def __init__(self, folder: Path, side: int, steps: int) -> None:
        self.model, self.side, self.steps = "model", side, steps
        weights = DEMO if (DEMO / "model_index.json").is_file() else _tiny(folder / "tiny")
        entry = ModelEntry(
            id=str(weights), local=True, description="measured", limits=Limits(min_side=16, size_multiple=8)
        )
        self.catalog = Catalog({self.model: entry}, self.model, folder, folder)
        self.spool = Spool(Layout(folder / "data"))
        self.spool.prepare()
        self.pipelines = Pipelines(self.catalog, choose("auto"))
        self.pipeline = self.pipelines.load(self.model, side * side).pipeline
        self._waiting: list[str] = []
        self.loads = 0
        context = WorkerContext(
            settings=Settings(data=self.spool.layout.data),
            catalog=self.catalog,
            store=ImageStore(self.spool.layout),
            inputs=InputStore(self.spool.layout),
            engine=LocalEngine(self.catalog, choose("auto"), self.pipelines, previews=None),
            stop=StopSwitch(),
            send=self.send,
        )
        self._worker = Worker(self.spool, context, self)  # type: ignore[arg-type]

    def next_job(self) -> str | None:
        """The worker's next job."""
        return self._waiting.pop() if self._waiting else None

    def send(self, event: Event) -> None:
        """What the worker says; only loads are counted."""
        self.loads += isinstance(event, Loading)

    def job(self) -> Job:
        """A pending job."""
        size = {"height": self.side, "width": self.side, "num_inference_steps": self.steps, "num_images": IMAGES}
        body = {"model_id": self.model, "prompt": "a red house on a hill", "settings": size}
        validator = RequestValidator(self.catalog, 500)
        order = self.spool.clock.issue()
        job = validator.job(validator.generate(json.dumps(body).encode()), job_id=order, order=order, source="http")
        self.spool.submit(job)
        return job

    def run_job(self) -> Times:
        """A whole job, from the claim to its final directory, per image."""
        self._waiting = [self.job().id]
        watch = Stopwatch()
        self._worker.run()
        return watch.per_image()

    def run_bare(self) -> Times:
        """The pipeline alone with the same settings, per image."""
        watch = Stopwatch()
        for seed in range(IMAGES):
            self.pipeline(
                prompt="a red house on a hill",
                height=self.side,
                width=self.side,
                num_inference_steps=self.steps,
                guidance_scale=7.5,
                generator=torch.Generator("cpu").manual_seed(seed),
            )
        return watch.per_image()


def _tiny(folder: Path) -> Path:
    from tests.tiny_models import save_stable_diffusion

    save_stable_diffusion(folder)
    return folder


def measure(rounds: int, side: int, seconds: float, *, say: bool) -> list[dict[str, Any]]:
    """The rows; `seconds` is what a call should take at least."""
    callbacks: list[float] = []
    _time_callbacks(callbacks)
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(Path(folder), side, steps=10)
        harness.run_bare()
        harness.steps = max(10, min(150, round(10 * seconds / harness.run_bare().clock)))
        harness.run_job()
        callbacks.clear()
        pairs = []
        for number in range(rounds):
            bare, job = harness.run_bare(), harness.run_job()
            pairs.append((bare, job))
            if say:
                print(
                    f"round {number + 1}: bare {bare.clock:.3f} s, job {job.clock:.3f} s; ratios {_ratios(bare, job)}"
                )
        jobs, encodings = rounds + 2, _encodings(harness)
    percent = 100 * (median(job.clock / bare.clock for bare, job in pairs) - 1)
    processor = 100 * (median(job.processor / bare.processor for bare, job in pairs) - 1)
    bare_seconds = median(bare.clock for bare, _ in pairs)
    return [
        _row(
            "runner's own time on an image",
            percent,
            GOAL_PERCENT,
            "%",
            bare_seconds=bare_seconds,
            processor_percent=processor,
        ),
        _row("step callback, mean", 1000 * mean(callbacks), GOAL_CALLBACK_MS, "ms", calls=len(callbacks)),
        _row(f"loads in {jobs} jobs on a warm model", harness.loads, 0, "loads"),
        _row(f"encodings of the prompt in a job of {IMAGES} images", encodings, 1, "encodings"),
    ]


def _encodings(harness: Harness) -> int:
    """How often one job has its prompt encoded."""
    kind = type(harness.pipeline)
    encode, calls = kind.encode_prompt, []
    kind.encode_prompt = lambda self, *given, **named: (calls.append(given), encode(self, *given, **named))[1]
    try:
        harness.run_job()
    finally:
        kind.encode_prompt = encode
    return len(calls)


def _ratios(bare: Times, job: Times) -> str:
    return f"{job.clock / bare.clock:.3f} by the clock, {job.processor / bare.processor:.3f} by processor time"


def _time_callbacks(into: list[float]) -> None:
    """Note how long each report of a step takes."""
    report = progress_reporter.ProgressReporter.step

    def timed(self: Any, image_number: int, step: int, steps: int) -> None:
        started = time.perf_counter()
        report(self, image_number, step, steps)
        into.append(time.perf_counter() - started)

    progress_reporter.ProgressReporter.step = timed  # type: ignore[method-assign]


def _row(what: str, value: float, goal: float, unit: str, **details: Any) -> dict[str, Any]:
    return {
        "number": "10",
        "what": what,
        "figure": f"{value:.3g} {unit}",
        "goal": f"<= {goal:g} {unit}",
        "met": value <= goal,
        "details": details,
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.runner_overhead", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a bare call should take at least")
    options = parser.parse_args()
    rows = measure(options.rounds, options.side, options.seconds, say=not options.json)
    for row in rows if not options.json else []:
        print(f"{row['what']}: {row['figure']} (goal {row['goal']}) {row['details']}")
    if options.json:
        print(json.dumps(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
