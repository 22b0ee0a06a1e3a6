"""How much more gets done with more workers in one runner: jobs that only wait, on 1 to 4 stub workers.

    python -m bench.worker_scaling [--workers 4] [--json]

The stub draws nothing but sleeps, as a GPU does not use the processor, so that what is missing to a linear gain is
the time between two jobs of a worker, and what the workers wait for each other and for the supervisor.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.runner_harness import RunnerHarness

GOAL: Final = 0.95
#: Jobs for each worker that are measured; one takes two seconds.
JOBS: Final = 3


def seconds(workers: int) -> float:
    """The time that `workers` workers take for JOBS jobs each, begun with as many that are not counted."""
    with tempfile.TemporaryDirectory() as folder:
        harness = RunnerHarness.bare(Path(folder))
        device = ",".join(f"cuda:{number}" for number in range(workers))
        with harness.stub_runner(device=device) as runner:
            for job in [harness.submit("slow") for _ in range(workers)]:  # each worker is started and has its model
                harness.wait_for(job)
            harness.wait_for_status(
                lambda status: all(at.loaded_models for at in status.workers), "all workers to be warm", "cuda:0"
            )
            jobs = [harness.submit("slow") for _ in range(JOBS * workers)]
            began = time.perf_counter()
            for job in jobs:
                harness.wait_for(job)
            taken = time.perf_counter() - began
            runner.end(signal.SIGTERM)
    return taken


def measure(most: int, *, say: bool) -> list[dict[str, Any]]:
    """The row: the worst of the gains that more workers give, against a linear one."""
    times = {}
    for workers in range(1, most + 1):
        times[workers] = seconds(workers)
        if say:
            print(f"{workers} workers: {JOBS * workers} jobs in {times[workers]:.2f} s")
    worst = min(times[1] / taken for taken in times.values())
    row = {
        "number": "10",
        "what": f"gain of 1 to {most} workers that only wait, against a linear one",
        "figure": f"{worst:.3f}",
        "goal": f">= {GOAL:g}",
        "met": worst >= GOAL,
        "details": {f"{workers}_workers_seconds": taken for workers, taken in times.items()},
    }
    return [row]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker_scaling", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    rows = measure(options.workers, say=not options.json)
    for row in rows:
        print(json.dumps(rows) if options.json else f"{row['what']}: {row['figure']} (goal {row['goal']})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
