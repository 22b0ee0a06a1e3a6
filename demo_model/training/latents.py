"""Pictures to latents: a fixed linear code of 16 by 16 pixel patches.

Each patch is projected on the directions in which the painted world varies most
(principal components). The code needs no training, so the denoiser can start at once,
while a decoder learns to turn the code back into crisp pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PATCH = 16
CHANNELS = 12
GRID = 16

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class PatchCode:
    """The linear code: ``mean`` (768), ``basis`` (768 by channels), ``scale`` (channels)."""

    mean: Floats
    basis: Floats
    scale: Floats

    def encode(self, pictures: NDArray[np.uint8]) -> Floats:
        """Latents (count, channels, 16, 16) of pictures (count, 256, 256, 3)."""
        flat = patches(pictures).reshape(-1, self.mean.size)
        code = (flat - self.mean) @ self.basis / self.scale
        grid = code.reshape(len(pictures), GRID, GRID, CHANNELS)
        return np.ascontiguousarray(grid.transpose(0, 3, 1, 2), dtype=np.float32)

    def blurry(self, latents: Floats) -> Floats:
        """The linear inverse: pictures (count, 256, 256, 3) in -1..1, with blurred edges."""
        grid = latents.transpose(0, 2, 3, 1)
        flat = grid * self.scale @ self.basis.T + self.mean
        blocks = flat.reshape(-1, GRID, GRID, PATCH, PATCH, 3)
        return np.asarray(blocks.transpose(0, 1, 3, 2, 4, 5).reshape(-1, 256, 256, 3))

    def save(self, path: Path) -> None:
        np.savez(path, mean=self.mean, basis=self.basis, scale=self.scale)

    @classmethod
    def load(cls, path: Path) -> PatchCode:
        stored = np.load(path)
        return cls(stored["mean"], stored["basis"], stored["scale"])


def patches(pictures: NDArray[np.uint8]) -> Floats:
    """Pictures cut in patches: (count, 16, 16, 768), values -1 to 1."""
    blocks = pictures.reshape(len(pictures), GRID, PATCH, GRID, PATCH, 3)
    flat = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(len(pictures), GRID, GRID, -1)
    return flat.astype(np.float32) / 127.5 - 1


def fit(pictures: NDArray[np.uint8]) -> PatchCode:
    """The code of the ``CHANNELS`` strongest directions.

    The scale is between plain and whitened: strong directions stay stronger (they carry
    the colours of large areas), weak ones (edges) are still well above nothing.
    """
    flat = patches(pictures).reshape(-1, PATCH * PATCH * 3)
    mean = flat.mean(0)
    covariance = (flat - mean).T @ (flat - mean) / len(flat)
    values, vectors = np.linalg.eigh(covariance)
    strongest = np.argsort(values)[::-1][:CHANNELS]
    deviation = np.sqrt(values[strongest])
    scale = deviation**0.6
    scale *= np.sqrt(np.mean((deviation / scale) ** 2))
    return PatchCode(*(a.astype(np.float32) for a in (mean, vectors[:, strongest], scale)))
