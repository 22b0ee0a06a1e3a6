"""Previews: small pictures of the latents while an image is drawn, at a bounded price.

A model's latents become visible through a linear map (`latent_map`) that is learned from the pictures that the
model finishes, and kept in the data directory. So this works for every pipeline that shows its latents, touches
neither its decoder nor the device's memory, and a model's very first picture has no previews.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch
from PIL.Image import Image
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from core import files
from engine.contract import DrawTask
from engine.local.latent_map import LatentMap, Shape, cells_of, shape_of

logger = logging.getLogger(__name__)

#: The most that previews may take of the time in which steps are done.
SHARE: Final = 0.02
#: Seconds between two previews at least.
INTERVAL: Final = 0.5
#: What a preview is taken to cost before one was made, in seconds.
_FIRST_GUESS: Final = 0.005
_QUALITY: Final = 70


class Budget:
    """Time for previews: a share of the time that was worked. What was overspent must be earned before the next."""

    def __init__(self, share: float = SHARE, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self.monotonic = monotonic
        self._last: dict[str, float] = {}
        self.worked = 0.0
        self.spent = 0.0

    def allows(self, kind: str) -> bool:
        """Whether there is time for one more of this kind, if it costs what the last one did."""
        return self.spent + self._last.get(kind, _FIRST_GUESS) <= self._share * self.worked

    @contextmanager
    def spending(self, kind: str) -> Iterator[None]:
        """Count what is done inside."""
        started = self.monotonic()
        try:
            yield
        finally:
            self._last[kind] = self.monotonic() - started
            self.spent += self._last[kind]


class Previews:
    """What the previews of all jobs of a worker share: the maps that were learned, and the budget."""

    def __init__(
        self, folder: Path, temporary: Path, budget: Budget | None = None, *, interval: float = INTERVAL
    ) -> None:
        self._folder = folder
        self._temporary = temporary
        self._maps: dict[Path, LatentMap] = {}
        self.budget = budget or Budget()
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


class TaskPreviews:
    """The previews of one task; `show` takes each as a WebP.

    A disk that refuses what was learned is logged once and costs nothing else.
    """

    def __init__(self, shared: Previews, task: DrawTask, show: Callable[[bytes], None]) -> None:
        self._shared = shared
        self._model = task.model
        self._settings = task.settings
        self._send = show
        self._latest: Tensor | None = None
        self._stepped_at: float | None = None
        self._shown_at = float("-inf")
        self._has_warned = False

    def after_step(self, step: int, latents: Tensor | None) -> None:
        """Show the latents if it is time and there is time for it."""
        now = self._shared.budget.monotonic()
        if self._stepped_at is not None:
            self._shared.budget.worked += now - self._stepped_at
        self._latest = latents
        if latents is not None and now - self._shown_at >= self._shared.interval:
            self._show(latents)
        is_last = step >= self._settings.num_inference_steps
        self._stepped_at = None if is_last else self._shared.budget.monotonic()  # decoding and saving are no steps

    def after_picture(self, picture: Image) -> None:
        """Learn from a finished picture, the first of its batch, what its latents look like."""
        latents, self._latest = self._latest, None
        if latents is not None:
            self._learn(latents, picture)

    def _show(self, latents: Tensor) -> None:
        cells, known = self._seen(latents)
        if cells is None or known is None or not known.is_reliable:
            return
        with self._spending("show", latents) as is_allowed:
            if is_allowed:
                stream = io.BytesIO()
                known.draw(cells.float().cpu()).save(stream, "WEBP", quality=_QUALITY, method=0)
                self._send(stream.getvalue())
                self._shown_at = self._shared.budget.monotonic()

    def _learn(self, latents: Tensor, picture: Image) -> None:
        cells, known = self._seen(latents)
        if cells is None or known is None:
            return
        with self._spending("learn", latents) as is_allowed:
            if is_allowed and known.learn(cells.float().cpu(), picture):
                self._shared.keep(self._model, known)

    @contextmanager
    def _spending(self, kind: str, latents: Tensor) -> Iterator[bool]:
        """Whether there is time for this kind of work now; counts the time that it takes."""
        if not self._shared.budget.allows(kind):
            yield False
            return
        if latents.is_cuda:
            torch.cuda.synchronize(latents.device)  # what the device has still to do is no cost of ours
        try:
            with self._shared.budget.spending(kind), torch.no_grad():
                yield True
        except OSError as error:
            if not self._has_warned:
                logger.warning("What was learned for previews could not be kept: %s", error)
                self._has_warned = True

    def _seen(self, latents: Tensor) -> tuple[Tensor | None, LatentMap | None]:
        """The latents as cells, and the map for them; neither where they lie in no way that is known."""
        cells = cells_of(latents, self._settings.width, self._settings.height)
        if cells is None:
            return None, None
        return cells, self._shared.map(self._model, shape_of(cells, self._settings.width))


def _read(path: Path, shape: Shape) -> LatentMap:
    """The map in a file; a new one where there is none, or none that can be used: it is learned again."""
    try:
        return LatentMap(shape, load(files.read(path)))
    except FileNotFoundError:
        return LatentMap(shape)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        logger.warning("What was learned for previews cannot be used and is learned again: %s", error)
        return LatentMap(shape)
