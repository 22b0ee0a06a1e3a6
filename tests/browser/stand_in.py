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
from jobs.runner_status import RunnerState, RunnerStatus
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

    def appear(self) -> None:
        """Be taken for a living runner that is busy, for as long as this process lives."""
        self._lock = ExclusiveLock(self.spool.layout.runner_lock("cpu"))
        assert self._lock.acquire()
        status = RunnerStatus(pid=os.getpid(), state=RunnerState.BUSY, started_at=timestamp(), updated_at=timestamp())
        runner_status.write(self.spool.layout, status, "cpu")

    def begin(self, job_id: str, step: int = 5) -> Claim:
        """Claim a job and report a step of its first image."""
        held = claim(self.spool, job_id)
        assert held is not None
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

    def finish(self, held: Claim) -> None:
        """Commit all images of a claimed job and complete it."""
        for number in range(1, held.job.effective_settings.num_images + 1):
            png = _picture(held.job, number)
            about = sidecar_of(held.job, number, png, width=128, height=128, generation_time=time.time())
            self.store.commit(png, about)
        held.complete()

    def draw_pending(self) -> int:
        """Begin and finish every pending job; returns how many."""
        ids = sorted(self.spool.ids(State.PENDING))
        for job_id in ids:
            self.finish(self.begin(job_id))
        return len(ids)


def _picture(job: Job, number: int) -> bytes:
    """A small landscape whose colours follow from the seed."""
    hue = (job.effective_settings.seed * 0.618 + number * 0.1) % 1
    sky, ground = (
        tuple(int(255 * part) for part in colorsys.hsv_to_rgb(*hsv)) for hsv in ((hue, 0.4, 0.95), (hue, 0.7, 0.4))
    )
    image = Image.new("RGB", (128, 128), sky)
    drawing = ImageDraw.Draw(image)
    drawing.ellipse((80, 20, 108, 48), fill=(255, 236, 170))
    drawing.polygon([(0, 128), (0, 90), (40, 60), (75, 92), (100, 76), (128, 96), (128, 128)], fill=ground)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
