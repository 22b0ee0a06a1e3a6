"""A worker without torch: claims real jobs, but only pretends to draw. The prompt says what goes wrong.

Words in the prompt: `hang` (no sign of life), `kill` (SIGKILL to itself), `exit` (status 3), `freeze` (writes to
the folder TEST_FROZEN_FOLDER, and never returns while that file system is frozen), `slow` (20 steps of 0.1 s; else
2 of 0.01 s), `deaf` (does not react to a stop), `linger` (does not go on after image 1 until it is told to stop).
A prompt that begins with a word acts so only in the first attempt if it ends with "once". What is committed is told
in the file TEST_TALE, if there is one.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from jobs.locks import ExclusiveLock
from jobs.settings import Settings

from core.layout import Layout
from jobs.claims import Claim, claim
from jobs.ids import image_id, timestamp
from jobs.schema import Phase, Progress
from jobs.spool import Spool
from outputs.store import ImageStore
from runner.messages import Ended, Leaving, Loaded, Loading, Outcome, Ready, Stepped, Waiting
from runner.stop_switch import StopSwitch
from runner.worker_channel import WorkerChannel
from tests.sidecars import sidecar_of


class FakeWorker:
    """Speaks the worker's language over the real pipes."""

    def __init__(self) -> None:
        self.stop = StopSwitch()
        self.channel = WorkerChannel(self.stop.request)
        settings = Settings.from_environment()
        self.device = settings.device
        self.spool = Spool(Layout(settings.data))
        self.store = ImageStore(self.spool.layout)
        signal.signal(signal.SIGTERM, lambda *_: self.channel.stop())
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(self) -> None:
        """Work until told to stop."""
        if os.environ.get("TEST_WORKER_BROKEN"):
            sys.exit(1)
        lock = ExclusiveLock(self.spool.layout.spool / "locks" / f"device.fake.{self.device.replace(':', '-')}.lock")
        while not lock.acquire(timeout=0.05):
            if self.stop.is_requested:
                return
            self.channel.tell(Waiting("Another worker has the device."))
        self.channel.tell(Ready(device="fake", device_name="a fake device"))
        while (job_id := self.channel.next_job()) is not None:
            held = claim(self.spool, job_id)
            outcome = self._work(held) if held else "not_claimed"
            self.channel.tell(Ended(job_id=job_id, outcome=outcome))
        self.channel.tell(Leaving("Nothing more to do."))
        lock.release()

    def _work(self, held: Claim) -> Outcome:
        held.begin_attempt()
        job = held.job
        self.channel.tell(Loading(job_id=job.id, model=job.model_id))
        self.channel.tell(Loaded(model=job.model_id, seconds=0.1, plan={"fake": True}, models=[job.model_id]))
        words = job.prompt.split()
        if "once" not in words or job.attempts == 1:
            self._misbehave(words)
        steps, seconds = (20, 0.1) if "slow" in words else (2, 0.01)
        for step in range(1, steps + 1):
            time.sleep(seconds)
            self._report(held, step, steps, seconds)
            if held.cancel_requested():
                held.cancel()
                return "cancelled"
            if self.stop.is_requested and "deaf" not in words:
                held.put_back(return_attempt=True)
                return "put_back"
        if not self._commit(held):
            held.put_back(return_attempt=True)
            return "put_back"
        held.complete()
        return "completed"

    @staticmethod
    def _misbehave(words: list[str]) -> None:
        if "kill" in words:
            os.kill(os.getpid(), signal.SIGKILL)
        if "exit" in words:
            os._exit(3)
        if "hang" in words:
            time.sleep(3600)
        if "freeze" in words:
            (Path(os.environ["TEST_FROZEN_FOLDER"]) / "written").write_text("thawed", encoding="utf-8")

    def _commit(self, held: Claim) -> bool:
        """Commit what is missing; whether that was all."""
        job = held.job
        for number in range(1, job.effective_settings.num_images + 1):
            image = image_id(job.order, number)
            if not self.store.is_committed(image) and not held.is_deleted(image):
                self._tell(f"drawing {image}")
                png = image.encode() * 100
                held.check()
                self.store.commit(png, sidecar_of(job, number, png))
                self._tell(f"committed {image}")
                if number == 1 and "linger" in job.prompt.split():
                    while not self.stop.is_requested:
                        time.sleep(0.02)
                    return False
        return True

    @staticmethod
    def _tell(line: str) -> None:
        if path := os.environ.get("TEST_TALE"):
            with open(path, "ab", buffering=0) as stream:
                stream.write(f"{line}\n".encode())

    def _report(self, held: Claim, step: int, steps: int, seconds: float) -> None:
        job = held.job
        held.report(
            Progress(phase=Phase.GENERATING, attempt=job.attempts, step=step, total_steps=steps, updated_at=timestamp())
        )
        self.channel.tell(Stepped(job_id=job.id, model=job.model_id, image_number=1, step=step, step_seconds=seconds))


if __name__ == "__main__":
    FakeWorker().run()
