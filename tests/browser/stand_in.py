"""A stand-in for the worker: claims jobs and commits real PNGs through the real spool and store, without torch."""

from __future__ import annotations

import colorsys
import io
import os
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from core.layout import Layout
from core.locks import ExclusiveLock
from jobs import runner_status
from jobs.claims import Claim, claim
from jobs.ids import timestamp
from jobs.runner_status import RunnerState, RunnerStatus, WorkerStatus
from jobs.schema import Job, Phase, Progress, State
from jobs.spool import Spool
from outputs.store import ImageStore
from tests.indexes import image_index, job_index
from tests.sidecars import sidecar_of


class StandIn:
    """Does the worker's part on the data directory of a test."""

    def __init__(self, data: Path) -> None:
        self.spool = Spool(Layout(data), observer=job_index(data))
        self.store = ImageStore(self.spool.layout, image_index(data))
        self._lock: ExclusiveLock | None = None
        self._held: list[Claim] = []

    def appear(self, state: RunnerState = RunnerState.IDLE) -> None:
        """Be taken for a living runner with one worker in this state, until it vanishes."""
        if self._lock is None:
            self._lock = ExclusiveLock(self.spool.layout.runner_lock("cpu"))
            assert self._lock.acquire()
        now = timestamp()
        workers = [WorkerStatus(slot="cpu", state=state)]
        status = RunnerStatus(pid=os.getpid(), state=state, workers=workers, started_at=now, updated_at=now)
        runner_status.write(self.spool.layout, status, "cpu")

    def vanish(self) -> None:
        """Be gone, as a runner that was killed."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def begin(self, job_id: str, step: int = 5) -> Claim:
        """Claim a job and report a step of its first image."""
        held = claim(self.spool, job_id)
        assert held is not None
        self._held.append(held)
        self.report(held, step)
        return held

    def report(self, held: Claim, step: int) -> None:
        """Report a step of the first image of a claimed job."""
        total = held.job.effective_settings.num_inference_steps
        held.report(Progress(phase=Phase.GENERATING, attempt=1, step=step, total_steps=total, updated_at=timestamp()))

    def show(self, held: Claim) -> None:
        """Publish a preview of a claimed job: its picture, blurred."""
        with Image.open(io.BytesIO(_picture(held.job, 1))) as picture:
            stream = io.BytesIO()
            picture.filter(ImageFilter.GaussianBlur(6)).save(stream, "WEBP")
        held.show(stream.getvalue())

    def commit(self, held: Claim, number: int) -> None:
        """Commit one image of a claimed job."""
        png = _picture(held.job, number)
        width, height = _size(held.job)
        about = sidecar_of(held.job, number, png, width=width, height=height, generation_time=time.time())
        self.store.commit(png, about)

    def finish(self, held: Claim) -> None:
        """Commit all images of a claimed job and complete it."""
        for number in range(1, held.job.effective_settings.num_images + 1):
            self.commit(held, number)
        held.complete()

    def let_go(self) -> None:
        """Cancel the claimed jobs that have not ended."""
        for held in self._held:
            found = self.spool.find(held.job.id)
            if found and found[0] is State.PROCESSING:
                held.cancel()
        self._held.clear()

    def draw_pending(self) -> int:
        """Begin and finish every pending job; returns how many."""
        ids = sorted(self.spool.ids(State.PENDING))
        for job_id in ids:
            self.finish(self.begin(job_id))
        return len(ids)


def _size(job: Job) -> tuple[int, int]:
    """Half the sides that were asked for: quick to encode, in the right proportions."""
    settings = job.effective_settings
    return settings.width // 2, settings.height // 2


def _picture(job: Job, number: int) -> bytes:
    """A small landscape whose colours follow from the seed."""
    width, height = _size(job)
    hue = (job.effective_settings.seed * 0.618 + number * 0.1) % 1
    sky, ground = (
        tuple(int(255 * part) for part in colorsys.hsv_to_rgb(*hsv)) for hsv in ((hue, 0.4, 0.95), (hue, 0.7, 0.4))
    )
    image = Image.new("RGB", (width, height), sky)
    drawing = ImageDraw.Draw(image)
    side = min(width, height)
    drawing.ellipse(
        (0.6 * width, 0.15 * height, 0.6 * width + side / 5, 0.15 * height + side / 5), fill=(255, 236, 170)
    )
    ridge = ((0, 0.7), (0.3, 0.47), (0.6, 0.72), (0.8, 0.6), (1, 0.75))
    drawing.polygon([(0, height), *((x * width, y * height) for x, y in ridge), (width, height)], fill=ground)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
