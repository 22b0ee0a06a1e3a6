"""Previews: small pictures of what an image will be, while it is drawn, at a bounded price.

Shown is the denoiser's own estimate of the finished latents (`denoised`), made visible by the best decoder that there
is time for (`preview_decoders`, `preview_budget`). Where no decoder can be used, a linear map (`latent_map`) that is
learned from the pictures that the model finishes, and kept in the data directory, takes its place.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch
from PIL.Image import Image
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from core import files
from engine.local import faults
from engine.local.denoised import Watch
from engine.local.latent_map import LatentMap, Shape, cells_of, shape_of
from engine.local.pipelines import LoadedPipeline
from engine.local.preview_budget import Budget
from engine.local.preview_decoders import Decoder, Geometry, decoders

logger = logging.getLogger(__name__)

#: Seconds between two previews of an image at least.
INTERVAL: Final = 0.5
#: The first preview comes after so many parts of the steps, if there is time for it.
_FIRST_PART: Final = 10
_QUALITY: Final = 70


class Previews:
    """What the previews of all jobs of a worker share: the maps that were learned, and the budget."""

    def __init__(self, folder: Path, temporary: Path, budget: Budget, *, interval: float = INTERVAL) -> None:
        self._folder = folder
        self._temporary = temporary
        self._maps: dict[Path, LatentMap] = {}
        #: Decoders that have failed: they are not tried again by this worker.
        self.broken: set[str] = set()
        self.budget = budget
        self.interval = interval

    def map(self, model: str, shape: Shape) -> LatentMap:
        """What is known of a model's latents; from the disk the first time."""
        path = self._path(model, shape)
        if path not in self._maps:
            self._maps[path] = _read(path, shape)
        return self._maps[path]

    def keep(self, model: str, learned: LatentMap) -> None:
        """Remember what was learned for the workers to come."""
        self._folder.mkdir(exist_ok=True)
        content = save(learned.sums)
        files.replace(self._path(model, learned.shape), content, self._temporary, durable=False, name="latent_map")

    def _path(self, model: str, shape: Shape) -> Path:
        return self._folder / f"{model}-{shape.channels}x{shape.pixels}.safetensors"


@dataclass
class _Progress:
    """The image that is being drawn."""

    #: The step from which on the next preview may be shown.
    due_at: int
    latents: Tensor | None = None
    stepped_at: float | None = None
    shown_at: float | None = None
    #: The one that draws this image's previews.
    decoder: Decoder | None = None
    #: A better one, that there is time for once: it draws one in the middle of the steps, and the last.
    once: Decoder | None = None
    #: The better ones, by what they are called in the budget.
    too_dear: set[str] = field(default_factory=set)


class TaskPreviews:
    """The previews of one task; `show` takes each as a WebP.

    Nothing that goes wrong here costs an image: a decoder that fails, or runs out of memory, is logged once and is not
    used again; a disk that refuses what was learned is logged once.
    """

    def __init__(
        self,
        shared: Previews,
        loaded: LoadedPipeline,
        watch: Watch | None,
        geometry: Geometry,
        steps: int,
        show: Callable[[bytes], None],
    ) -> None:
        self._shared = shared
        self._loaded = loaded
        self._watch = watch
        self._geometry = geometry
        self._steps = steps
        self._send = show
        #: Seconds of steps of this task, and how many steps that were.
        self._worked = 0.0
        self._counted = 0
        self._image = self._next_image()
        self._has_warned = False
        shared.budget.begin_job()

    def after_step(self, step: int, latents: Tensor | None) -> None:
        """Show what the image will be if it is time and there is time for it."""
        image, budget = self._image, self._shared.budget
        image.latents = latents
        is_last = step >= self._steps  # the picture itself comes next
        is_due = not is_last and step >= image.due_at and self._has_paused()
        if is_due and latents is not None and latents.is_cuda:
            torch.cuda.synchronize(latents.device)  # what the device has still to do is work of the steps
        if image.stepped_at is not None:
            seconds = budget.monotonic() - image.stepped_at
            budget.earn(seconds)
            self._worked += seconds
            self._counted += 1
        if is_due and self._counted:
            self._show(step)
        image.stepped_at = None if is_last else budget.monotonic()  # decoding and saving are no steps

    def after_picture(self, picture: Image) -> None:
        """Learn from a finished picture, the first of its batch, what its latents look like."""
        image, self._image = self._image, self._next_image()
        for key in image.too_dear:
            self._shared.budget.pass_over(key)
        if image.latents is not None and (image.decoder is None or not image.decoder.needs_no_map):
            self._learn(image.latents, picture)

    def _next_image(self) -> _Progress:
        # Where a tenth of the steps is the first one, it does not tell yet how long a step takes.
        return _Progress(due_at=max(-(-self._steps // _FIRST_PART), 1 if self._counted else 2))

    def _has_paused(self) -> bool:
        shown_at = self._image.shown_at
        return shown_at is None or self._shared.budget.monotonic() - shown_at >= self._shared.interval

    def _show(self, step: int) -> None:
        image, budget = self._image, self._shared.budget
        estimate = self._watch.estimate() if self._watch is not None else None
        if image.latents is None or estimate is None:
            return
        ahead = (self._steps - step) * self._worked / self._counted
        if image.decoder is None:
            self._choose(step, image.latents, ahead)
        elif image.once is not None and step >= self._middle:
            better, image.once = image.once, None
            image.decoder = better if self._times(better, ahead) else image.decoder
        decoder = image.decoder
        if decoder is None or not self._times(decoder, ahead):
            return
        with budget.spending(self._key(decoder)):
            webp = self._drawn(decoder, estimate)
            if webp is not None:
                self._send(webp)
        if webp is None:
            image.decoder, image.once = None, None
            return
        image.shown_at = budget.monotonic()
        # The further ones are spread over what is left.
        until = self._middle if image.once is not None else self._steps
        image.due_at = step + max(1, (until - step) // (1 + self._times(decoder, ahead)))

    @property
    def _middle(self) -> int:
        return self._steps // 2

    def _choose(self, step: int, latents: Tensor, ahead: float) -> None:
        """Take the best decoder of which there is time; where that is for one preview, a lesser one before it."""
        image = self._image
        image.once = None
        usable = decoders(self._loaded, latents, self._geometry, self._map(latents))
        for decoder in (each for each in usable if self._key(each) not in self._shared.broken):
            times = self._times(decoder, ahead)
            if times > 1 or (times and (image.once is not None or step >= self._middle)):
                image.decoder = decoder
                return
            if image.once is None and times:
                image.once = decoder
            elif image.once is None:
                image.too_dear.add(self._key(decoder))
        image.decoder, image.once = image.once, None

    def _times(self, decoder: Decoder, ahead: float) -> int:
        """How many previews by a decoder there is time for, beside the one that is drawn once."""
        once = self._image.once
        return self._shared.budget.times(self._key(decoder), ahead, beside=None if once is None else self._key(once))

    def _key(self, decoder: Decoder) -> str:
        """What previews of one price are called in the budget."""
        return f"{self._loaded.model} {decoder.kind} {self._geometry.width}x{self._geometry.height}"

    def _drawn(self, decoder: Decoder, estimate: Tensor) -> bytes | None:
        """A preview as WebP; None if the decoder fails, which costs the image nothing."""
        try:
            with torch.no_grad():
                stream = io.BytesIO()
                decoder.draw(estimate).save(stream, "WEBP", quality=_QUALITY, method=0)
                return stream.getvalue()
        except Exception as error:
            if faults.is_device_fault(error) and not faults.is_out_of_memory(error):
                raise
            logger.warning("Previews by the %s failed and are left out: %s", decoder.kind, faults.first_line(error))
        # Outside of the handler: the error is gone, and with it its frames and the tensors that they hold.
        self._shared.broken.add(self._key(decoder))
        if estimate.is_cuda:
            torch.cuda.empty_cache()
        return None

    def _learn(self, latents: Tensor, picture: Image) -> None:
        cells, known = cells_of(latents, self._geometry.width, self._geometry.height), self._map(latents)
        if cells is None or known is None or not self._shared.budget.times("learn"):
            return
        try:
            with self._shared.budget.spending("learn"), torch.no_grad():
                if known.learn(cells.float().cpu(), picture):
                    self._shared.keep(self._loaded.model, known)
        except OSError as error:
            if not self._has_warned:
                logger.warning("What was learned for previews could not be kept: %s", error)
                self._has_warned = True

    def _map(self, latents: Tensor) -> LatentMap | None:
        """The map for these latents; None where they lie in no way that is known."""
        cells = cells_of(latents, self._geometry.width, self._geometry.height)
        return None if cells is None else self._shared.map(self._loaded.model, shape_of(cells, self._geometry.width))


def _read(path: Path, shape: Shape) -> LatentMap:
    """The map in a file; a new one where there is none, or none that can be used: it is learned again."""
    try:
        return LatentMap(shape, load(files.read(path)))
    except FileNotFoundError:
        return LatentMap(shape)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        logger.warning("What was learned for previews cannot be used and is learned again: %s", error)
        return LatentMap(shape)
