"""A small life of the spool, made to be interrupted anywhere: run it again and it goes on where it was.

It submits, adopts, claims, works, commits, finishes, fails, cancels, requeues and deletes (also while the job
of the image goes on), with the real
protocol and a scripted stand-in for the pipeline. What it may rely on it tells through `Record`, so that
the history checker knows what was acknowledged before the crash.
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from core import files
from core.layout import Layout
from jobs import claims, ids, leftovers
from jobs.catalog import Capabilities, Catalog, ModelEntry
from jobs.claims import Claim, claim, recover_all
from jobs.drops.adopter import Adopter
from jobs.errors import DuplicateJob
from jobs.ids import is_order, timestamp
from jobs.limits import Limits
from jobs.pause import is_paused, pause, resume
from jobs.pending import PendingQueue
from jobs.requests import RequestValidator
from jobs.schema import MAX_IMAGES, JobError, ModelDefaults, Phase, Progress, State
from jobs.spool import Spool
from outputs import thumbnail
from outputs.decoding import clean_png
from outputs.errors import ImageNotFound
from outputs.inputs import InputStore
from outputs.store import ImageStore
from service.deletion import delete_image
from service.pictures import Pictures
from tests.sidecars import sidecar_of

Record = Callable[[str], None]


def picture_file(shade: int) -> bytes:
    """A small picture as somebody sends it."""
    stream = io.BytesIO()
    Image.new("L", (64, 64), shade).save(stream, "WEBP", lossless=True)
    return stream.getvalue()


#: The ids of the jobs of one life, and the ones that are dropped as files.
SUBMITTED = ("one", "two", "bad-luck", "regret", "pruned")
IMAGES = {"one": 2, "pruned": 3}
#: Job and number of the images that are deleted: of a job that has ended, and of one that is interrupted after it.
DELETED = (("one", 1), ("pruned", 1))
DROPPED = {
    "named.json": b'{"id": "named", "model_id": "tiny", "prompt": "dropped", "image": "castle.png"}',
    "nameless.json": b'{"model_id": "tiny", "prompt": "nameless"}',
}
REFUSED = {
    "broken.json": b'{"model_id": "tiny"}',
    "twice.json": b'{"id": "one", "model_id": "tiny", "prompt": "again"}',
}
#: What one of the drops names as its picture.
BESIDE = {"castle.png": picture_file(90)}
#: The picture that one of the submitted jobs begins from, and one that came in and that no job names.
SENT, FORGOTTEN = picture_file(20), picture_file(50)
#: What lies in the place of a job and can be none, by its place in the spool.
CORRUPT = {
    "pending/garbled.json": b'{"schema": 1, "id": "garbled"}',
    "processing/halved.json": b'{"schema": 1, "id": "hal',
}
MAX_ATTEMPTS = 4
#: The key that a job is moved with: before all others.
MOVED = "0001"


def validator(folder: Path) -> RequestValidator:
    """A validator over one tiny model; makes the folder of its weights."""
    (folder / "tiny").mkdir(parents=True, exist_ok=True)
    (folder / "tiny" / "model_index.json").touch()
    entry = ModelEntry(
        id="tiny",
        description="for tests",
        defaults=ModelDefaults(num_inference_steps=2, height=64, width=64),
        limits=Limits(min_side=16, max_side=128, size_multiple=8),
        capabilities=Capabilities(image_to_image=True),
    )
    return RequestValidator(Catalog({"tiny": entry}, "tiny", folder, folder), 500)


def drop_files(spool: Spool) -> None:
    """Put the drops in, and what an accident left, before the first run."""
    for place, content in CORRUPT.items():
        files.create(spool.layout.spool / place, content, spool.layout.temporary)
    for name, content in {**DROPPED, **REFUSED, **BESIDE}.items():
        files.create(spool.layout.incoming / name, content, spool.layout.temporary)
    inputs = InputStore(spool.layout)
    old = spool.layout.input(inputs.put(clean_png(FORGOTTEN, "image")).sha256)
    os.utime(old, (0, 0))


class Life:
    """One process's part of the life of a data directory."""

    def __init__(self, data: Path, validator: RequestValidator, record: Record, boot: str = "boot") -> None:
        claims.boot_id = lambda: boot
        self.spool = Spool(Layout(data))
        self.store = ImageStore(self.spool.layout)
        self.inputs = InputStore(self.spool.layout)
        self._pictures = Pictures(self.inputs, self.store)
        self._validator = validator
        self._record = record

    def run(self) -> None:
        """Everything, from the start of the programs to the end of all jobs."""
        self.spool.prepare()
        leftovers.sweep(self.spool)
        self.store.finish_deletions()
        self._submit()
        self.inputs.sweep()
        recover_all(self.spool, max_attempts=MAX_ATTEMPTS)
        self._adopt()
        self._arrange()
        if self.spool.exists("regret"):
            self._record(f"cancelled {self.spool.cancel('regret').value}")
        self._work()
        self._delete("one", 1)
        self._speak("one", 2)

    def _speak(self, job_id: str, number: int) -> None:
        image = ids.image_id(self.spool.find(job_id)[1].order, number)
        self.store.annotate(image, favourite=True, labels=["kept"])
        self._record(f"annotated {image}")

    def _submit(self) -> None:
        for job_id in SUBMITTED:
            body: dict[str, Any] = {"model_id": "tiny", "prompt": job_id}
            body["settings"] = {"num_images": IMAGES.get(job_id, 1), "num_inference_steps": 4}
            if job_id == "two":
                body["image"] = f"data:image/png;base64,{base64.b64encode(SENT).decode()}"
            request = self._validator.generate(json.dumps(body).encode())
            order, found = self.spool.clock.issue(), self._pictures.find(request)
            job = self._validator.job(request, job_id=job_id, order=order, source="http", pictures=found.by_field)
            try:
                self._pictures.hold(found)
                self.spool.submit_named(job)
            except DuplicateJob:
                continue  # as with an Idempotency-Key: an earlier try came through
            self._record(f"accepted {job_id}")
        if not any(is_order(job_id) for state in State for job_id in self.spool.ids(state)):
            self._submit_without_a_name()

    def _submit_without_a_name(self) -> None:
        """As most requests do: the id is the order."""
        request = self._validator.generate(b'{"model_id": "tiny", "prompt": "nameless"}')
        order = self.spool.clock.issue()
        self.spool.submit(self._validator.job(request, job_id=order, order=order, source="http"))
        self._record(f"accepted {order}")

    def _adopt(self) -> None:
        adopter = Adopter(self.spool, self._validator, quiet_seconds=30, pictures=self._pictures)
        while (result := adopter.scan()).waiting:
            assert result.next_check == 0
        for job_id in result.adopted:
            self._record(f"accepted {job_id}")

    def _arrange(self) -> None:
        """Pause, move a job, and resume, as people do; the pause lasts if nobody lives to end it."""
        pause(self.spool)
        self._record("paused queue")
        if self.spool.holds(State.PENDING, "two"):
            self.spool.turns.put("two", MOVED)
            self._record(f"moved two {MOVED}")
        self._record("resuming queue")
        resume(self.spool)

    # --- Work ---------------------------------------------------------------------------------

    def _work(self) -> None:
        if is_paused(self.spool.layout):
            return
        queue = PendingQueue(self.spool)
        while True:
            queue.refresh()
            job = queue.pop()
            if job is None:
                return
            self._record(f"beginning {job.id}")  # first, since a kill may come between the count and any word of it
            held = claim(self.spool, job.id)
            if held is not None:
                self._attempt(held)

    def _attempt(self, held: Claim) -> None:
        if held.job.id == "bad-luck":
            held.fail(JobError(type="scripted", message="It was not to be."))
        elif held.job.id == "two" and not any("requeued" in text for text in held.job.warnings):
            held.warn("requeued once")
            held.requeue(refund_attempt=True)
            return
        elif held.job.id == "pruned" and not any("requeued" in text for text in held.job.warnings):
            self._draw(held, last=2)
            self._delete("pruned", 1)
            held.warn("requeued once")
            held.requeue(refund_attempt=True)
            return
        else:
            self._draw(held)
            held.complete()
        self._record(f"finished {held.job.id}")

    def _draw(self, held: Claim, last: int = MAX_IMAGES) -> None:
        job = held.job
        if job.image is not None:
            self.inputs.picture(job.image.id)
        for number in range(1, min(last, job.effective_settings.num_images) + 1):
            image = ids.image_id(job.order, number)
            if self.store.is_committed(image) or held.is_deleted(image):
                continue
            self._record(f"drawing {image}")
            progress = Progress(phase=Phase.GENERATING, attempt=job.attempts, total_steps=1, updated_at=timestamp())
            held.report(progress)
            png = picture(image)
            self.store.commit(png, sidecar_of(job, number, png))
            self._record(f"committed {image}")
            thumbnail.keep(self.store, image, b"small")

    def _delete(self, job_id: str, number: int) -> None:
        order = self.spool.find(job_id)[1].order
        image = ids.image_id(order, number)
        with suppress(ImageNotFound):  # deleted before
            delete_image(self.spool, self.store, image)
        self._record(f"deleted {image}")


def picture(image: str) -> bytes:
    """The bytes that stand for a PNG: the same for the same image, larger than a block of the disk."""
    return image.encode() * 400
