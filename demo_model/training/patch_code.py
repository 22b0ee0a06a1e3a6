"""A fixed linear code of pictures: patches of 16 by 16 pixels on the directions in which they vary most.

These principal components show roughly how a cell looks, and need no training. The decoder's teacher
(:mod:`teaching`) sees them beside the map.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demo_model.training.latents import PATCH, Floats

COMPONENTS = 12

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class PatchCode:
    """The linear code: ``mean`` (768), ``basis`` (768 by components), ``scale`` (components)."""

    mean: Floats
    basis: Floats
    scale: Floats

    def encode(self, picture: Picture) -> Floats:
        """The components (components, rows, columns) of a picture (height, width, 3)."""
        code = (_patches(picture) - self.mean) @ self.basis / self.scale
        return np.ascontiguousarray(code.transpose(2, 0, 1), dtype=np.float32)

    def save(self, path: Path) -> None:
        np.savez(path, mean=self.mean, basis=self.basis, scale=self.scale)

    @classmethod
    def load(cls, path: Path) -> PatchCode:
        """The code that a run began with: another fit would turn some axes around."""
        stored = np.load(path)
        return cls(stored["mean"], stored["basis"], stored["scale"])


def fit(pictures: Iterable[Picture]) -> PatchCode:
    """The code of the strongest directions in ``pictures``.

    The scale is between plain and whitened: strong directions stay stronger (they carry
    the colours of large areas), weak ones (edges) are still well above nothing.
    """
    flat = np.concatenate([_patches(picture).reshape(-1, 3 * PATCH * PATCH) for picture in pictures])
    mean = flat.mean(0)
    covariance = (flat - mean).T @ (flat - mean) / len(flat)
    values, vectors = np.linalg.eigh(covariance)
    strongest = np.argsort(values)[::-1][:COMPONENTS]
    deviation = np.sqrt(values[strongest])
    scale = deviation**0.6
    scale *= np.sqrt(np.mean((deviation / scale) ** 2))
    return PatchCode(*(part.astype(np.float32) for part in (mean, vectors[:, strongest], scale)))


def _patches(picture: Picture) -> Floats:
    """The picture cut in patches: (rows, columns, 768), values -1 to 1."""
    rows, columns = picture.shape[0] // PATCH, picture.shape[1] // PATCH
    blocks = picture.reshape(rows, PATCH, columns, PATCH, 3).transpose(0, 2, 1, 3, 4)
    return blocks.reshape(rows, columns, -1).astype(np.float32) / 127.5 - 1
