"""Keeps pipelines warm, and gives up those that must make available. Loads torch and diffusers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from engine.contract import ModelUnavailable, TooLarge
from engine.local import host_memory, loading, memory_plan, variants, weights
from engine.local.devices import Device
from engine.local.faults import classify, first_line
from engine.local.memory_plan import GIB, AvailableMemory, Need, Placement, Plan
from jobs.catalog import Catalog, ModelEntry

logger = logging.getLogger(__name__)

#: How long a model that could not be loaded is not tried again while its files stay as they are, in seconds.
BAD_MODEL_SECONDS: Final = 600.0
#: How often torch compiles a block: for the first shape, then for all others.
_COMPILATIONS: Final = 2
#: Memory that may stay behind when models have gone; beyond it the worker should be replaced.
LEAK_BYTES: Final = 1 * GIB


@dataclass(kw_only=True)
class LoadedPipeline:
    """A pipeline in memory, and how it came there."""

    model: str
    pipeline: Any
    dtype: str
    seconds: float
    revision: str | None
    plan: Plan
    #: What was done for speed.
    speed: dict[str, Any]
    #: Bytes that it keeps in the device's memory.
    kept_bytes: int
    #: A small autoencoder that stands in for the model's own in previews, on the device.
    preview_decoder: Any = None
    #: How many plans below the best one it was loaded.
    fallback_level: int = 0
    #: The shapes of pictures (images at once, height, width) that were warmed up for.
    warmed_up: set[tuple[int, int, int]] = field(default_factory=set)
    #: Its forms that begin from a picture, once made, by whether they keep part of it.
    variants: dict[bool, Any] = field(default_factory=dict)

    def from_picture(self, *, keeps_part: bool) -> Any:
        """The pipeline over the same components that begins from a picture, or draws part of one anew."""
        if keeps_part not in self.variants:
            self.variants[keeps_part] = variants.from_picture(self.pipeline, keeps_part=keeps_part)
        return self.variants[keeps_part]

    def must_warm_up(self, shape: tuple[int, int, int]) -> bool:
        """Whether torch will compile for this shape: the first one, and a second time, with the sizes left open."""
        return "compile" in self.speed and shape not in self.warmed_up and len(self.warmed_up) < _COMPILATIONS

    def describe(self) -> dict[str, Any]:
        """The plan in words, for the log, the status file and the sidecar."""
        return self.plan.describe() | self.speed


class Pipelines:
    """The pipelines of this process, by model. A model that cannot be loaded is remembered for a while."""

    def __init__(self, catalog: Catalog, device: Device, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._catalog = catalog
        self._device = device
        self._monotonic = monotonic
        self._loaded: dict[str, LoadedPipeline] = {}
        #: Until when a model is not tried again, the state of its files, and what is wrong with it.
        self._bad: dict[str, tuple[float, int, str]] = {}
        self._baseline: int | None = None
        #: Whether memory was to come free since `leaks` last looked.
        self._has_given_up = False

    @property
    def models(self) -> list[str]:
        """The models in memory, the last used last."""
        return list(self._loaded)

    def warm(self, model: str, pixels: int, *, fallback_level: int = 0) -> LoadedPipeline | None:
        """The pipeline of a model if it is in memory, made ready for a picture of this size.

        One at too low a fallback level is given up: it ran out of memory with this very task.
        """
        found = self._loaded.pop(model, None)
        if found is None:
            return None
        if found.fallback_level < fallback_level:
            del found
            self._give_up()
            return None
        self._loaded[model] = found  # the last used
        self._fit_picture(found, pixels)
        return found

    def load(self, model: str, pixels: int, *, fallback_level: int = 0) -> LoadedPipeline:
        """Load a model as its memory plan says, giving up models that leave no available for it.

        Raises ModelUnavailable where the model's files are at fault (for a while without trying again),
        TooLarge, and whatever the device raises.
        """
        self._raise_if_bad(model)
        if self._baseline is None:
            self._baseline = self._device.used_by_us()
        entry = self._catalog.entry(model)
        started = time.monotonic()
        try:
            files = weights.inspect(self._catalog.path(model))
            need = need_of(files, loading.dtype_of(entry, self._device).itemsize, pixels)
            self._make_available_memory(need, entry)
            plan = self._plan(model, need, entry, fallback_level)
            logger.info("A model is being loaded.", extra={"model": model, "plan": plan.describe()})
            pipeline, speed = loading.load(self._catalog.path(model), entry, plan, self._device)
            decoder = loading.preview_decoder(self._catalog.preview_decoder_path(model), entry, self._device)
        except weights.DamagedModel as error:
            raise self._declare_bad(model, str(error), error) from error
        except Exception as error:
            self._has_given_up = True
            if isinstance(error, TooLarge) or classify(error):
                raise
            said = first_line(error, self._catalog.path(model))
            raise self._declare_bad(model, f"Model {model} cannot be loaded: {said}", error) from error
        found = LoadedPipeline(
            model=model,
            pipeline=pipeline,
            preview_decoder=decoder,
            dtype=str(loading.dtype_of(entry, self._device)).removeprefix("torch."),
            seconds=round(time.monotonic() - started, 3),
            revision=files.revision,
            plan=plan,
            speed=speed,
            kept_bytes=plan.weight_bytes if plan.placement is Placement.RESIDENT else 0,
            fallback_level=fallback_level,
        )
        self._loaded[model] = found
        return found

    def unload(self, model: str) -> None:
        """Give a pipeline up."""
        self._loaded.pop(model, None)
        self._give_up()

    def leaks(self) -> bool:
        """Whether more memory stayed behind than the loaded models keep: time for a new process.

        Costs nothing unless a model has gone, or a load has failed, since the last look.
        """
        if not self._has_given_up or self._baseline is None:
            return False
        self._has_given_up = False
        self._device.release_unused()
        kept = sum(item.kept_bytes for item in self._loaded.values())
        return self._device.used_by_us() > self._baseline + kept + LEAK_BYTES

    def images_at_once(self, found: LoadedPipeline, pixels: int, wanted: int) -> int:
        """How many of the `wanted` pictures of a job are drawn together: what the catalog wants, if it fits."""
        entry = self._catalog.entry(found.model)
        wanted = min(wanted, entry.speed.batch_size)
        if wanted <= 1 or found.fallback_level:
            return 1
        width, free = loading.dtype_of(entry, self._device).itemsize, self._device.memory()[0]
        return memory_plan.images_at_once(pixels, width, found.plan, free, is_gpu=self._device.is_cuda, wanted=wanted)

    def what_fits(self, model: str, pixels: int, *, fallback_level: int, images: int) -> tuple[bool, int]:
        """After running out of memory: whether a plan needs less, and the side that should fit at best."""
        entry = self._catalog.entry(model)
        width = loading.dtype_of(entry, self._device).itemsize
        need = need_of(weights.inspect(self._catalog.path(model)), width, pixels)
        available = self._available_memory(freed=sum(item.kept_bytes for item in self._loaded.values()))
        options = (need, available, entry.memory, entry.quantisation)
        last = memory_plan.ladder(*options)[-1]
        side = memory_plan.largest_side(need, available, last, entry.limits.size_multiple)
        is_batched = fallback_level == 0 and min(images, entry.speed.batch_size) > 1
        return is_batched or memory_plan.has_lower_memory_plan(*options, fallback_level), side

    def _available_memory(self, freed: int = 0) -> AvailableMemory:
        free, _ = self._device.memory()
        return AvailableMemory(is_gpu=self._device.is_cuda, device_free=free + freed, host_free=host_memory.available())

    def _make_available_memory(self, need: Need, entry: ModelEntry) -> None:
        """Give up the least recently used models until the new one gets the plan that it would get alone."""
        loaded = [(item.model, item.kept_bytes) for item in self._loaded.values()]
        count = memory_plan.to_evict(loaded, need, self._available_memory(), entry.memory, entry.quantisation)
        for model, _ in loaded[:count]:
            logger.info("A model makes available for another.", extra={"model": model})
            self.unload(model)

    def _plan(self, model: str, need: Need, entry: ModelEntry, fallback_level: int) -> Plan:
        available = self._available_memory()
        plan = memory_plan.choose(need, available, entry.memory, entry.quantisation, fallback_level=fallback_level)
        if not plan.fits and plan.device_bytes + plan.host_bytes > available.device_free + (
            available.host_free if available.is_gpu else 0
        ):
            side = memory_plan.largest_side(need, available, plan, entry.limits.size_multiple)
            raise TooLarge(
                f"Model {model} needs about {plan.device_bytes / GIB:.1f} GiB of memory on {self._device.title}, "
                f"of which {available.device_free / GIB:.1f} GiB are free; {advice(side)}."
            )
        return plan

    def _fit_picture(self, found: LoadedPipeline, pixels: int) -> None:
        """Decode in tiles if this picture, unlike the one that the plan was made for, needs it."""
        if found.plan.placement is not Placement.RESIDENT or found.plan.vae_tiling:
            return
        width = loading.dtype_of(self._catalog.entry(found.model), self._device).itemsize
        needed = pixels * memory_plan.BYTES_PER_PIXEL * width // 2
        reserve = memory_plan.GPU_RESERVE if self._device.is_cuda else memory_plan.HOST_RESERVE
        is_tiled = needed + reserve > self._device.memory()[0]
        loading.set_vae_tiling(found.pipeline, is_tiled)
        found.speed.pop("vae_tiling_now", None)
        if is_tiled:
            found.speed["vae_tiling_now"] = True

    def _raise_if_bad(self, model: str) -> None:
        until, changed, sentence = self._bad.get(model, (0.0, 0, ""))
        if self._monotonic() < until and changed == _last_change(self._catalog.path(model)):
            raise ModelUnavailable(sentence)

    def _declare_bad(self, model: str, sentence: str, error: Exception) -> ModelUnavailable:
        logger.error("A model cannot be loaded.", extra={"model": model}, exc_info=error)
        changed = _last_change(self._catalog.path(model))
        self._bad[model] = (self._monotonic() + BAD_MODEL_SECONDS, changed, sentence)
        self._give_up()
        return ModelUnavailable(sentence)

    def _give_up(self) -> None:
        self._has_given_up = True
        self._device.release_unused()


def _last_change(folder: Path) -> int:
    """When the files of a model changed last (nanoseconds since the epoch)."""
    return max((path.stat().st_mtime_ns for path in folder.rglob("*")), default=0)


def need_of(files: weights.ModelFiles, width: int, pixels: int) -> Need:
    """What a model and a picture need, computed with numbers `width` bytes wide."""
    return Need(
        weights=files.total(width),
        largest=files.largest(width),
        weights_fp8=files.total(width, fp8=True),
        largest_fp8=files.largest(width, fp8=True),
        pixels=pixels,
        width=width,
    )


def advice(side: int) -> str:
    """What to do about a picture that does not fit."""
    return f"about {side}x{side} should fit" if side else "no smaller picture of this model would fit either"
