"""One attempt of one job: from the claim to its end. Brings the spool, the engine and the image store together."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from core.settings import Settings
from engine.contract import DrawnImage, DrawTask, Engine
from jobs import ids
from jobs.catalog import Catalog
from jobs.claims import Claim
from jobs.ids import timestamp
from jobs.pictures import FIELDS
from jobs.schema import MAX_SEED, Job, Phase
from outputs.errors import ImageNotFound
from outputs.inputs import InputStore
from outputs.sidecar import Sidecar
from outputs.store import ImageStore
from runner.messages import Event, Loaded, Loading, WarmingUp
from runner.progress_reporter import ProgressReporter
from runner.saving import ImageSaver
from runner.starting_picture import StartingPicture, starting_picture
from runner.stop_switch import StopSwitch

logger = logging.getLogger(__name__)


class StopRequested(Exception):
    """The worker must end: the job goes back."""


class CancelRequested(Exception):
    """Somebody asked to cancel the job."""


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """What every job of a worker shares."""

    settings: Settings
    catalog: Catalog
    store: ImageStore
    inputs: InputStore
    engine: Engine
    stop: StopSwitch
    send: Callable[[Event], None]


class JobRun:
    """Draws what is missing of a claimed job. `leave` must requeue the job and end the process.

    Listens to the engine (`engine.contract.Listener`) while it draws.
    """

    def __init__(self, claim: Claim, context: WorkerContext, leave: Callable[[], None]) -> None:
        self._claim = claim
        self._job = claim.job
        self._context = context
        self._leave = leave
        self._reporter = ProgressReporter(claim, context.send, self._job.callback_steps)
        #: The numbers of the images that the engine draws now.
        self._numbers: list[int] = []
        self._has_warned = False

    def run(self) -> None:
        """Commit all images.

        Raises StopRequested, CancelRequested, LostClaim, UnknownModel, InputNotFound, DamagedInput, OSError from the
        storage, and what the engine raises.
        """
        self._reporter.phase(Phase.PREPARING)
        self.check_interrupts()
        self._context.catalog.entry(self._job.model_id)  # the API may have read a newer or an older catalog
        self._numbers = self._missing()
        if not self._numbers:
            return
        with ImageSaver(self._context.store, self._context.settings.embed_metadata, self._saved) as saver:
            start = starting_picture(self._job, self._context.inputs)
            images = self._context.engine.draw(self._task(start), self)
            for number, drawn in zip(self._numbers, images, strict=True):
                saver.submit(start.restored(drawn.image) if start else drawn.image, self._sidecar(number, drawn))
            self._reporter.phase(Phase.SAVING, self._numbers[-1], self._reporter.total_steps)
            saver.finish()

    def _missing(self) -> list[int]:
        """The numbers of the images that no earlier attempt has committed, without those that were deleted since."""
        numbers = range(1, self._job.effective_settings.num_images + 1)
        return [number for number in numbers if not self._is_settled(self._image_id(number))]

    def _is_settled(self, image_id: str) -> bool:
        # First, since whoever deletes an image writes its tombstone before the image goes.
        is_committed = self._context.store.is_committed(image_id)
        return self._stays_deleted(image_id) or is_committed

    def _stays_deleted(self, image_id: str) -> bool:
        """Whether the image was deleted; if so, remove what is left or was committed since."""
        if not self._claim.is_deleted(image_id):
            return False
        with suppress(ImageNotFound):
            self._context.store.delete(image_id)
        return True

    def _image_id(self, number: int) -> str:
        return ids.image_id(self._job.order, number)

    def _task(self, start: StartingPicture | None) -> DrawTask:
        job = self._job
        return DrawTask(
            model=job.model_id,
            prompt=job.prompt,
            negative_prompt=job.negative_prompt,
            settings=job.effective_settings,
            seeds=tuple(image_seed(job.effective_settings.seed, number) for number in self._numbers),
            image=start.image if start else None,
            mask=start.mask if start else None,
            fallback_level=fallback_level_of(job),
        )

    # --- What the engine tells ----------------------------------------------------------------

    @contextmanager
    def loading(self, model: str) -> Iterator[None]:
        """A stop request during a load ends the process, since a load has no steps."""
        self._reporter.phase(Phase.LOADING_MODEL)
        self._context.send(Loading(job_id=self._job.id, model=model))
        with self._context.stop.exit_via(self._leave):
            yield

    def loaded(self, model: str, seconds: float, plan: dict[str, Any], models: list[str]) -> None:
        """Pass it on."""
        self._context.send(Loaded(model=model, seconds=seconds, plan=plan, models=models))

    def warming_up(self, model: str) -> None:
        """Show it."""
        self._reporter.phase(Phase.WARMING_UP)
        self._context.send(WarmingUp(job_id=self._job.id, model=model))

    def drawing(self) -> None:
        """The first image begins."""
        self._reporter.phase(Phase.GENERATING, self._numbers[0])

    def warned(self, sentence: str) -> None:
        """Show it with the job, and with each of its images."""
        self._claim.warn(sentence)
        self._job = self._claim.job

    def step(self, index: int, step: int, steps: int) -> None:
        """Report it."""
        self._reporter.step(self._numbers[index], step, steps)

    def preview(self, webp: bytes) -> None:
        """Show it; a disk that refuses previews is logged once and costs nothing else."""
        try:
            self._claim.show(webp)
        except OSError as error:
            if not self._has_warned:
                logger.warning("A preview could not be written: %s", error)
                self._has_warned = True

    def check_interrupts(self) -> None:
        """Raise CancelRequested or StopRequested."""
        if self._claim.cancel_requested():
            raise CancelRequested
        if self._context.stop.is_requested:
            raise StopRequested

    # --- Images -------------------------------------------------------------------------------

    def _saved(self, sidecar: Sidecar) -> None:
        if self._stays_deleted(sidecar.id):  # a damaged one, drawn again while somebody deleted it
            return
        logger.info("An image is saved.", extra={"image_id": sidecar.id, "bytes": sidecar.size_bytes})

    def _sidecar(self, number: int, drawn: DrawnImage) -> Sidecar:
        """What is known of an image before it is a file."""
        self._claim.check()  # nothing is committed by a holder that may not be the only one
        job, made_with = self._job, drawn.made_with
        return Sidecar(
            id=self._image_id(number),
            job_id=job.id,
            order=job.order,
            model_id=job.model_id,
            model_source=self._context.catalog.entry(job.model_id).id,
            model_revision=made_with.revision,
            prompt=job.prompt,
            negative_prompt=drawn.negative_prompt,
            requested_negative_prompt=job.negative_prompt,
            scheduler=made_with.scheduler,
            scheduler_options=made_with.scheduler_options,
            settings=job.effective_settings,
            inputs={name: found.id.removeprefix("in_") for name in FIELDS if (found := getattr(job, name))},
            seed=drawn.seed,
            image_number=number,
            total_images=job.effective_settings.num_images,
            attempt=job.attempts,
            width=drawn.image.width,
            height=drawn.image.height,
            created_at=timestamp(),
            generation_time=time.time(),
            duration_seconds=round(drawn.duration_seconds, 3),
            device=made_with.device,
            dtype=made_with.dtype,
            versions=made_with.versions,
            plan=made_with.plan,
            warnings=[*job.warnings, *drawn.warnings],
            size_bytes=0,
            sha256="",
            labels=job.labels,
        )


def fallback_level_of(job: Job) -> int:
    """How many plans below the best one this attempt must be: one, after running out of memory."""
    return 1 if job.error is not None and job.error.type == "out_of_memory" else 0


def image_seed(seed: int, number: int) -> int:
    """The seed of image `number` (from 1), with which it can be made alone."""
    return (seed + number - 1) % (MAX_SEED + 1)
