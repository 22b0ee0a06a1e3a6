"""A data directory, the tiny models and real runner processes: what a test of the runner works with."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.layout import Layout
from jobs import runner_status
from jobs.catalog import Catalog
from jobs.ids import image_id
from jobs.requests import RequestValidator
from jobs.runner_status import RunnerStatus
from jobs.schema import Job, Progress, State
from jobs.spool import Spool
from outputs.errors import ImageNotFound
from outputs.sidecar import Sidecar
from outputs.store import ImageStore
from tests import tiny_models
from tests.programs import PATIENCE, Program, wait_until


class RunnerHarness:
    """One data directory and how to put jobs in, start runners and look at what comes out."""

    def __init__(self, folder: Path, weights: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.weights = weights
        self.catalog_path = folder / "models.toml"
        self.catalog_path.write_text(tiny_models.catalog_text(), encoding="utf-8")
        self.catalog = Catalog.load(self.catalog_path, weights)
        self.spool = Spool(Layout(self.data))
        self.spool.prepare(create_anyway=True)  # the folder may be a file system that was just mounted
        self.store = ImageStore(self.spool.layout)
        self._validator = RequestValidator(self.catalog, prompt_limit=500)

    @classmethod
    def bare(cls, folder: Path) -> RunnerHarness:
        """A harness whose models are only names: the stub loads nothing."""
        for key in ("tiny-sd", "tiny-flux", "tiny-sd3"):
            (folder / "weights" / key).mkdir(parents=True)
            (folder / "weights" / key / "model_index.json").write_text("{}", encoding="utf-8")
        return cls(folder, folder / "weights")

    def stub_runner(self, **settings: Any) -> Program:
        """A runner whose worker only pretends to draw (tests/stub_worker.py)."""
        return self.runner(worker="tests.stub_worker", **({"idle_seconds": 60, "scan_seconds": 0.5} | settings))

    def submit(self, prompt: str = "a castle", *, model: str = "tiny-sd", negative: str = "", **settings: Any) -> Job:
        """Submit a job as the API would."""
        body = {"model_id": model, "prompt": prompt, "negative_prompt": negative, "settings": settings}
        order = self.spool.clock.issue()
        request = self._validator.generate(json.dumps(body).encode())
        job = self._validator.job(request, job_id=order, order=order, source="http")
        self.spool.submit(job)
        return job

    def drop(self, name: str, prompt: str = "a castle") -> Path:
        """Write a job file with this id into the drop zone."""
        path = self.spool.layout.incoming / f"{name}.json"
        path.write_text(json.dumps({"id": name, "model_id": "tiny-sd", "prompt": prompt}), encoding="utf-8")
        return path

    def wait_for_adoption(self, name: str) -> None:
        """Wait until a dropped file is a job, and gone."""
        path = self.spool.layout.incoming / f"{name}.json"
        wait_until(lambda: self.spool.exists(name) and not path.exists(), PATIENCE, f"the drop {name} to be adopted")

    def runner(self, *, worker: str = "runner.worker", **settings: Any) -> Program:
        """A runner to be started with `with`; settings without their prefix. `worker` is the worker's module."""
        environment = {
            "CYBERIMAGE_DATA": str(self.data),
            "CYBERIMAGE_CATALOG": str(self.catalog_path),
            "CYBERIMAGE_MODELS": str(self.weights),
            "CYBERIMAGE_DEVICE": "cpu",
            "CYBERIMAGE_RESERVE_MB": "0",
            "CYBERIMAGE_RETRY_DELAYS": "0",
            "TEST_WORKER": worker,
        }
        environment |= {f"CYBERIMAGE_{name.upper()}": str(value) for name, value in settings.items()}
        module = "runner" if worker == "runner.worker" else "tests.runner_with_other_worker"
        return Program([sys.executable, "-m", module], environment, self.folder / "runner.log")

    def state(self, job: Job) -> State:
        """Where a job is."""
        return self.spool.find(job.id)[0]

    def stored(self, job: Job) -> Job:
        """A job as it is now."""
        return self.spool.find(job.id)[1]

    def images_of(self, job: Job) -> Iterator[Sidecar]:
        """The committed images of a job, in order of their number."""
        for number in range(1, job.effective_settings.num_images + 1):
            with suppress(ImageNotFound):
                yield self.store.sidecar(image_id(job.order, number))

    def wait_for(self, job: Job, *states: State, timeout: float = PATIENCE) -> Job:
        """Wait until a job is in one of the states (default: finished); returns it."""
        wanted = states or (State.COMPLETED, State.FAILED, State.CANCELLED)
        wait_until(lambda: self.state(job) in wanted, timeout, f"job {job.id} to be {' or '.join(wanted)}")
        return self.stored(job)

    def wait_for_steps(self, job: Job, steps: int = 1) -> Progress:
        """Wait until a running job has done some steps."""

        def reached() -> Progress | None:
            progress = self.spool.progress(self.stored(job))
            done = progress and (progress.image_number - 1) * progress.total_steps + progress.step
            return progress if done and done >= steps else None

        progress = wait_until(reached, PATIENCE, f"job {job.id} to do {steps} steps")
        assert progress is not None
        return progress

    def wait_for_status(
        self, condition: Callable[[RunnerStatus], Any], about: str, device: str = "cpu"
    ) -> RunnerStatus:
        """Wait until a runner's status file fulfils a condition; returns it."""

        def fulfilled() -> RunnerStatus | None:
            status = runner_status.read(self.spool.layout, device)
            return status if status is not None and condition(status) else None

        status = wait_until(fulfilled, PATIENCE, about)
        assert status is not None
        return status

    def worker_pid(self, device: str = "cpu") -> int:
        """The process id of the living worker."""
        pid = self.wait_for_status(lambda status: status.worker_pid, "a worker", device).worker_pid
        assert pid is not None
        return pid

    def kill_worker(self, number: int = signal.SIGKILL) -> int:
        """Send a signal to the worker; returns the pid it had."""
        pid = self.worker_pid()
        os.kill(pid, number)
        return pid

    def pngs(self) -> list[Path]:
        """The image files."""
        return sorted(self.spool.layout.outputs.rglob("*.png"))


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"
