"""From latents to pixels, roughly: a linear map that is learned from the pictures that a model has finished."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

#: The longest side of what is drawn, in pixels.
MAX_SIDE: Final = 256
#: The most pixels along a side of what one cell of latents becomes.
_MAX_PIXELS: Final = 8
#: By so much (its variance) a number is taken to be inexact. What hardly varied in all that was seen gets little
#: weight, so colours that no picture has shown yet are not guessed wildly.
_INEXACT: Final = 0.03
#: So much worse than its mean colour a picture may be predicted (mean square, of 1).
_TOLERANCE: Final = 1e-3
#: Pictures after which a map is good enough.
_SAMPLES: Final = 12


@dataclass(frozen=True)
class Shape:
    """What a map takes and gives: numbers per cell, and pixels along the side of what a cell becomes."""

    channels: int
    pixels: int


def cells_of(latents: Tensor, width: int, height: int) -> Tensor | None:
    """The first image's latents as (rows, columns, channels); None if they lie in no way that is known.

    Pipelines keep them as a map of channels (some with a time axis of one), or as a row of tokens, line by line.
    """
    first = latents[0]
    if first.dim() == 4 and first.shape[1] == 1:
        first = first[:, 0]
    if first.dim() == 3:
        return first.permute(1, 2, 0)
    if first.dim() != 2:
        return None
    rows = round((first.shape[0] * height / width) ** 0.5)
    return first.unflatten(0, (rows, -1)) if rows and first.shape[0] % rows == 0 else None


def shape_of(cells: Tensor, width: int) -> Shape:
    """The map that these cells of a picture so wide ask for."""
    rows, columns, channels = cells.shape
    return Shape(channels, max(1, min(width // columns, _MAX_PIXELS, MAX_SIDE // max(rows, columns))))


class LatentMap:
    """Learns by least squares from pairs of latents and pictures; keeps only their sums.

    A map that says less about a picture than its mean colour would is not trusted: it has seen too little, or the
    model was replaced. If it had learned all it could, it is forgotten.
    """

    def __init__(self, shape: Shape, sums: dict[str, Tensor] | None = None) -> None:
        self.shape = shape
        self.sums = sums or self._nothing()
        if any(self.sums[name].shape != zeros.shape for name, zeros in self._nothing().items()):
            raise ValueError("these are the sums of another map")
        self._weights: Tensor | None = None

    @property
    def samples(self) -> int:
        """How many pictures it has learned from."""
        return int(self.sums["samples"])

    @property
    def is_reliable(self) -> bool:
        """Whether it has learned anything, and predicted the picture from which it learned last."""
        return bool(self.samples and self.sums["predicted"])

    def learn(self, cells: Tensor, picture: Image.Image) -> bool:
        """Look at a finished picture and the latents that it was decoded from; returns whether the map changed."""
        inputs, pixels = _inputs(cells), self._pixels(picture, *cells.shape[:2])
        predicted = not self.samples or self._tells_something(inputs, pixels)
        if self.samples >= _SAMPLES:
            if predicted:
                return False
            self.sums = self._nothing()
        self.sums["products"] += inputs.T @ inputs
        self.sums["targets"] += inputs.T @ pixels
        self.sums["samples"] += 1
        self.sums["predicted"].fill_(predicted)
        self._weights = None
        return True

    def draw(self, cells: Tensor) -> Image.Image:
        """What the latents look like so far."""
        rows, columns, _ = cells.shape
        size = self.shape.pixels
        pixels = (_inputs(cells) @ self._solved()).view(rows, columns, size, size, 3)
        pixels = pixels.permute(0, 2, 1, 3, 4).reshape(rows * size, columns * size, 3)
        return Image.fromarray((pixels.nan_to_num().clamp(0, 1) * 255).to(torch.uint8).numpy())

    def _nothing(self) -> dict[str, Tensor]:
        inputs, outputs = self.shape.channels + 1, 3 * self.shape.pixels**2
        return {
            "products": torch.zeros(inputs, inputs),
            "targets": torch.zeros(inputs, outputs),
            "samples": torch.zeros(()),
            "predicted": torch.zeros(()),
        }

    def _pixels(self, picture: Image.Image, rows: int, columns: int) -> Tensor:
        """One row per cell: the pixels that it stands for."""
        size = self.shape.pixels
        small = picture.convert("RGB").resize((columns * size, rows * size), Image.Resampling.BOX)
        pixels = torch.from_numpy(np.array(small)).float() / 255
        return pixels.view(rows, size, columns, size, 3).permute(0, 2, 1, 3, 4).reshape(rows * columns, -1)

    def _tells_something(self, inputs: Tensor, pixels: Tensor) -> bool:
        missed = (inputs @ self._solved() - pixels).square().mean()
        return bool(missed <= (pixels - pixels.mean()).square().mean() + _TOLERANCE)

    def _solved(self) -> Tensor:
        """The weights of each number of a cell, and what is added.

        A ridge regression of the differences from the means.
        """
        if self._weights is None:
            products, targets = self.sums["products"], self.sums["targets"]
            count = products[-1, -1].clamp(min=1)
            means, mean_pixels = products[-1, :-1] / count, targets[-1] / count
            spread = products[:-1, :-1] - count * torch.outer(means, means)
            shared = targets[:-1] - count * torch.outer(means, mean_pixels)
            ridge = _INEXACT * count * torch.eye(len(spread))
            weights = torch.linalg.solve(spread + ridge, shared)
            self._weights = torch.cat([weights, (mean_pixels - means @ weights)[None]])
        return self._weights


def _inputs(cells: Tensor) -> Tensor:
    """One row per cell: its numbers, and a one."""
    flat = cells.reshape(-1, cells.shape[-1])
    return torch.cat([flat, flat.new_ones(len(flat), 1)], dim=1)
