"""The engine that draws in this process. Loads torch and diffusers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import prod
from typing import Any, Final

from msgspec import structs
from PIL import ImageOps
from PIL.Image import Image, Resampling
from torch import Tensor

from engine.contract import DeviceFault, DrawnImage, DrawTask, Listener, MadeWith, OutOfMemory, TooLarge
from engine.local import faults
from engine.local.denoised import watched
from engine.local.devices import Device
from engine.local.generation import (
    GeneratedImage,
    ImageRequest,
    generate,
    scheduler_name,
    scheduler_options,
    unread_words,
)
from engine.local.pipelines import LoadedPipeline, Pipelines, advice
from engine.local.preview_decoders import Geometry
from engine.local.previews import Previews, TaskPreviews
from engine.local.variants import scheduled
from jobs.catalog import Catalog, ModelEntry

_PACKAGES: Final = ("cyberimage", "diffusers", "torch", "transformers")
#: The second one takes the path of a step cache, if there is one.
_WARM_UP_STEPS: Final = 2


class LocalEngine:
    """Draws with diffusers on one device; keeps pipelines warm. See `engine.contract.Engine`."""

    def __init__(self, catalog: Catalog, device: Device, pipelines: Pipelines, previews: Previews | None) -> None:
        self._catalog = catalog
        self._device = device
        self._pipelines = pipelines
        #: None where they are switched off.
        self._previews = previews

    @property
    def device(self) -> str:
        """`cpu` or `cuda:N`."""
        return self._device.name

    @property
    def device_name(self) -> str:
        """The GPU's name."""
        return self._device.title

    def why_replace(self) -> str | None:
        """Memory that stays behind can only be had back from the operating system."""
        return "Memory stayed behind when a model had gone." if self._pipelines.leaks() else None

    def draw(self, task: DrawTask, listener: Listener) -> Iterator[DrawnImage]:
        """The images of a task; see the contract."""
        try:
            yield from _Drawing(self, task, listener).images()
        except (TooLarge, OutOfMemory, DeviceFault):
            raise
        except Exception as error:
            kind = faults.classify(error)
            if kind is None:
                raise
            text = faults.first_line(error)
        else:
            return
        # Outside of the handler: the error is gone, and with it its frames and the tensors that they hold.
        if kind is faults.Kind.MEMORY:
            raise self._out_of_memory(task)
        raise DeviceFault(text)

    def _out_of_memory(self, task: DrawTask) -> OutOfMemory:
        pixels, images = prod(self.drawn_size(task)), task.settings.num_images
        has_lower, side = self._pipelines.what_fits(
            task.model, pixels, fallback_level=task.fallback_level, images=images
        )
        return OutOfMemory(advice(side), has_lower_memory_plan=has_lower)

    def drawn_size(self, task: DrawTask) -> tuple[int, int]:
        """The height and width at which the model draws."""
        return self.entry(task.model).limits.drawn(task.settings.height, task.settings.width)

    def entry(self, model: str) -> ModelEntry:
        """A model's entry in the catalog."""
        return self._catalog.entry(model)

    @property
    def pipelines(self) -> Pipelines:
        """The pipelines in memory."""
        return self._pipelines

    @property
    def previews(self) -> Previews | None:
        """What the previews of all tasks share."""
        return self._previews


class _Drawing:
    """One task being drawn."""

    def __init__(self, engine: LocalEngine, task: DrawTask, listener: Listener) -> None:
        self._engine = engine
        self._task = task
        self._listener = listener
        self._entry = engine.entry(task.model)
        self._size = engine.drawn_size(task)
        self._previews: TaskPreviews | None = None

    def images(self) -> Iterator[DrawnImage]:
        """Load what is needed, then draw."""
        loaded = self._pipeline()
        task, request, capabilities = self._task, self._request(), self._entry.capabilities
        pipeline = loaded.pipeline
        if task.image is not None:
            pipeline = loaded.from_picture(keeps_part=task.mask is not None)
        with scheduled(pipeline, task.settings.scheduler):
            at_once = self._at_once(loaded)
            self._warm_up(loaded, pipeline, at_once)
            self._listener.drawing()
            for sentence in unread_words(pipeline, request, capabilities):
                self._listener.warned(sentence)
            with self._previewed(loaded, pipeline):
                for image in generate(pipeline, request, capabilities, self._on_step, batch_size=at_once):
                    if self._previews is not None:
                        self._previews.after_picture(image.image)
                    yield self._finished(loaded, pipeline, image)

    @contextmanager
    def _previewed(self, loaded: LoadedPipeline, pipeline: Any) -> Iterator[None]:
        """Previews are shown of what is drawn within, if they are wanted."""
        if self._engine.previews is None:
            yield
            return
        steps, geometry = self._task.settings.drawn_steps, Geometry(width=self._size[1], height=self._size[0])
        with watched(pipeline) as watch:
            shared, show = self._engine.previews, self._listener.preview
            self._previews = TaskPreviews(shared, loaded, watch, geometry, steps, show)
            yield

    def _at_once(self, loaded: LoadedPipeline) -> int:
        """How many images are drawn together: those that begin from a picture one by one.

        Pipelines draw the noise of a picture's latents once for a batch, so its images would depend on each other.
        """
        if self._task.image is not None:
            return 1
        return self._engine.pipelines.images_at_once(loaded, prod(self._size), len(self._task.seeds))

    def _pipeline(self) -> LoadedPipeline:
        task, pipelines = self._task, self._engine.pipelines
        pixels = prod(self._size)
        warm = pipelines.warm(task.model, pixels, fallback_level=task.fallback_level)
        if warm is not None:
            return warm
        with self._listener.loading(task.model):
            loaded = pipelines.load(task.model, pixels, fallback_level=task.fallback_level)
        self._listener.loaded(task.model, loaded.seconds, loaded.describe(), pipelines.models)
        return loaded

    def _warm_up(self, loaded: LoadedPipeline, pipeline: Any, at_once: int) -> None:
        """Compile before the first picture, so that it shows as such and not as a step that takes a minute."""
        shape = (at_once, *self._size)
        if not loaded.must_warm_up(shape):
            return
        self._listener.warming_up(loaded.model)
        request = self._request()
        settings = structs.replace(request.settings, num_inference_steps=_WARM_UP_STEPS)
        if settings.strength is not None:
            settings = structs.replace(settings, strength=1.0)
        request = replace(request, settings=settings, seeds=request.seeds[:at_once])
        for _ in generate(pipeline, request, self._entry.capabilities, self._on_warm_up, batch_size=at_once):
            loaded.warmed_up.add(shape)

    def _on_warm_up(self, _index: int, _step: int, _steps: int, _latents: Tensor | None) -> None:
        self._listener.check_interrupts()

    def _on_step(self, index: int, step: int, steps: int, latents: Tensor | None) -> None:
        self._listener.step(index, step, steps)
        self._listener.check_interrupts()
        if self._previews is not None:
            self._previews.after_step(step, latents)

    def _request(self) -> ImageRequest:
        task = self._task
        height, width = self._size
        return ImageRequest(
            prompt=task.prompt,
            negative_prompt=task.negative_prompt,
            settings=structs.replace(task.settings, height=height, width=width),
            seeds=task.seeds,
            image=_in_size(task.image, (width, height)),
            mask=_in_size(task.mask, (width, height)),
        )

    def _finished(self, loaded: LoadedPipeline, pipeline: Any, drawn: GeneratedImage) -> DrawnImage:
        return DrawnImage(
            seed=drawn.seed,
            image=self._at_full_size(drawn.image),
            negative_prompt=drawn.negative_prompt,
            duration_seconds=drawn.duration_seconds,
            warnings=drawn.warnings,
            made_with=MadeWith(
                device=self._engine.device_name,
                dtype=loaded.dtype,
                scheduler=scheduler_name(pipeline),
                scheduler_options=scheduler_options(pipeline),
                revision=loaded.revision,
                plan=loaded.describe(),
                versions=_versions(),
            ),
        )

    def _at_full_size(self, drawn: Image) -> Image:
        """Enlarge what had to be drawn smaller; edges are cut where its shape differs a little."""
        wanted = (self._task.settings.width, self._task.settings.height)
        if self._size == (wanted[1], wanted[0]):
            return drawn
        return ImageOps.fit(drawn, wanted, Resampling.LANCZOS)


def _in_size(picture: Image | None, size: tuple[int, int]) -> Image | None:
    """A picture that the task brings, as large as the model draws."""
    if picture is None or picture.size == size:
        return picture
    return ImageOps.fit(picture, size, Resampling.LANCZOS)


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
