"""One attempt of one job: from the claim to its end. Brings the spool, the pipelines and the image store together."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import prod
from typing import Final

import torch
from PIL import ImageOps
from PIL.Image import Resampling

from core.settings import Settings
from engine.local.devices import Device
from engine.local.generation import GeneratedImage, ImageRequest, generate, scheduler_name
from engine.local.pipelines import LoadedPipeline, Pipelines
from engine.local.previews import JobPreviews, Previews
from jobs import ids
from jobs.catalog import Catalog, ModelEntry
from jobs.claims import Claim
from jobs.ids import timestamp
from jobs.schema import MAX_SEED, Job, Phase
from outputs.sidecar import Sidecar
from outputs.store import ImageStore
from runner.messages import Event, Loaded, Loading, WarmingUp
from runner.progress_reporter import ProgressReporter
from runner.saving import ImageSaver
from runner.stop_switch import StopSwitch

logger = logging.getLogger(__name__)

_PACKAGES: Final = ("cyberimage", "diffusers", "torch", "transformers")
#: The second one takes the path of a step cache, if there is one.
_WARM_UP_STEPS: Final = 2


class StopRequested(Exception):
    """The worker shall end: the job goes back."""


class CancelRequested(Exception):
    """Somebody asked to cancel the job."""


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What every job of a worker shares."""

    settings: Settings
    catalog: Catalog
    store: ImageStore
    device: Device
    pipelines: Pipelines
    #: None where they are switched off.
    previews: Previews | None
    stop: StopSwitch
    tell: Callable[[Event], None]


class JobRun:
    """Draws what is missing of a claimed job. `leave` must put the job back and end the process."""

    def __init__(self, claim: Claim, workshop: Workshop, leave: Callable[[], None]) -> None:
        self._claim = claim
        self._job = claim.job
        self._shop = workshop
        self._leave = leave
        self._reporter = ProgressReporter(claim, workshop.tell, self._job.callback_steps)
        self._previews = JobPreviews(workshop.previews, claim) if workshop.previews else None

    def run(self) -> None:
        """Commit all images.

        Raises StopRequested, CancelRequested, ModelUnavailable, LostClaim, OSError from the storage, and
        what the pipeline raises.
        """
        self._reporter.phase(Phase.PREPARING)
        self._check_wishes()
        missing = self._missing()
        if not missing:
            return
        loaded = self._pipeline()
        at_once = self._shop.pipelines.images_at_once(loaded, self._pixels, len(missing))
        self._warm_up(loaded, missing[:at_once])
        with ImageSaver(self._shop.store, self._shop.settings.embed_metadata, self._saved) as saver:
            self._reporter.phase(Phase.GENERATING, missing[0])
            for number, image in zip(missing, self._draw(loaded, missing, at_once), strict=True):
                saver.submit(image.image, self._sidecar(loaded, number, image))
            self._reporter.phase(Phase.SAVING, missing[-1], self._job.effective_settings.num_inference_steps)
            saver.finish()

    def _missing(self) -> list[int]:
        """The numbers of the images that no earlier attempt has committed."""
        numbers = range(1, self._job.effective_settings.num_images + 1)
        return [number for number in numbers if not self._shop.store.is_committed(self._image_id(number))]

    def _image_id(self, number: int) -> str:
        return ids.image_id(self._job.order, number)

    def _pipeline(self) -> LoadedPipeline:
        model, thrift = self._job.model_id, thrift_of(self._job)
        warm = self._shop.pipelines.warm(model, self._pixels, thrift=thrift)
        if warm is not None:
            return warm
        self._reporter.phase(Phase.LOADING_MODEL)
        self._shop.tell(Loading(job_id=self._job.id, model=model))
        with self._shop.stop.leaving_by(self._leave):
            loaded = self._shop.pipelines.load(model, self._pixels, thrift=thrift)
        plan = loaded.describe()
        self._shop.tell(Loaded(model=model, seconds=loaded.seconds, plan=plan, models=self._shop.pipelines.models))
        return loaded

    def _warm_up(self, loaded: LoadedPipeline, numbers: list[int]) -> None:
        """Compile before the first picture, so that it shows as such and not as a step that takes a minute."""
        shape = (len(numbers), *self._drawn_size)
        if not loaded.must_warm_up(shape):
            return
        self._reporter.phase(Phase.WARMING_UP)
        self._shop.tell(WarmingUp(job_id=self._job.id, model=loaded.model))
        request = replace(self._request(numbers), num_inference_steps=_WARM_UP_STEPS)
        capabilities, at_once = self._entry.capabilities, len(numbers)
        for _ in generate(loaded.pipeline, request, capabilities, lambda *_: self._check_wishes(), batch_size=at_once):
            loaded.warmed_up.add(shape)

    def _draw(self, loaded: LoadedPipeline, missing: list[int], at_once: int) -> Iterator[GeneratedImage]:
        def on_step(index: int, step: int, latents: torch.Tensor | None) -> None:
            self._reporter.step(missing[index], step)
            self._check_wishes()
            if self._previews is not None:
                self._previews.after_step(step, latents)

        request, capabilities = self._request(missing), self._entry.capabilities
        for image in generate(loaded.pipeline, request, capabilities, on_step, batch_size=at_once):
            if self._previews is not None:
                self._previews.after_picture(image.image)
            yield self._at_full_size(image)

    def _at_full_size(self, drawn: GeneratedImage) -> GeneratedImage:
        """Enlarge what had to be drawn smaller; edges are cut where its shape differs a little."""
        wanted = (self._job.effective_settings.width, self._job.effective_settings.height)
        if self._drawn_size == (wanted[1], wanted[0]):
            return drawn
        return replace(drawn, image=ImageOps.fit(drawn.image, wanted, Resampling.LANCZOS))

    def _request(self, numbers: list[int]) -> ImageRequest:
        settings = self._job.effective_settings
        height, width = self._drawn_size
        return ImageRequest(
            prompt=self._job.prompt,
            negative_prompt=self._job.negative_prompt,
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            height=height,
            width=width,
            max_sequence_length=settings.max_sequence_length,
            seeds=[image_seed(settings.seed, number) for number in numbers],
        )

    @property
    def _drawn_size(self) -> tuple[int, int]:
        """The height and width at which the model draws."""
        settings = self._job.effective_settings
        return self._entry.limits.drawn(settings.height, settings.width)

    @property
    def _entry(self) -> ModelEntry:
        return self._shop.catalog.models[self._job.model_id]

    @property
    def _pixels(self) -> int:
        return prod(self._drawn_size)

    def _check_wishes(self) -> None:
        if self._claim.cancel_requested():
            raise CancelRequested
        if self._shop.stop.is_requested:
            raise StopRequested

    def _saved(self, sidecar: Sidecar) -> None:
        logger.info("An image is saved.", extra={"image_id": sidecar.id, "bytes": sidecar.size_bytes})

    def _sidecar(self, loaded: LoadedPipeline, number: int, image: GeneratedImage) -> Sidecar:
        """What is known of an image before it is a file."""
        self._claim.check()  # nothing is committed by a holder that may not be the only one
        job = self._job
        return Sidecar(
            id=self._image_id(number),
            job_id=job.id,
            order=job.order,
            model_id=job.model_id,
            model_source=self._entry.id,
            model_revision=loaded.revision,
            prompt=job.prompt,
            negative_prompt=image.negative_prompt,
            requested_negative_prompt=job.negative_prompt,
            scheduler=scheduler_name(loaded.pipeline),
            settings=job.effective_settings,
            seed=image.seed,
            image_number=number,
            total_images=job.effective_settings.num_images,
            attempt=job.attempts,
            width=image.image.width,
            height=image.image.height,
            created_at=timestamp(),
            generation_time=time.time(),
            duration_seconds=round(image.duration_seconds, 3),
            device=self._shop.device.title,
            dtype=loaded.dtype,
            versions=_versions(),
            plan=loaded.describe(),
            warnings=[*job.warnings, *image.warnings],
            size_bytes=0,
            sha256="",
        )


def thrift_of(job: Job) -> int:
    """How many plans thriftier than the best one this attempt must be: one, after running out of memory."""
    return 1 if job.error is not None and job.error.type == "out_of_memory" else 0


def image_seed(seed: int, number: int) -> int:
    """The seed of image `number` (from 1), with which it can be made alone."""
    return (seed + number - 1) % (MAX_SEED + 1)


@cache
def _versions() -> dict[str, str]:
    """The versions of the packages that make a picture; looked up once, since that takes milliseconds."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # ours, when run from a checkout that is not installed
            continue
    return found
