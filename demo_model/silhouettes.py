"""Which kind a thing is: its parts held against the parts that the painter would draw.

Each pixel is given to the nearest of the tones in which things are drawn (their colour, darker and lighter; wood,
glass, steel, leaves) or to none. The same is done with a painting of each kind in several sizes. One is laid over the
other at every position near the place (by Fourier transforms). The kind with the most pixels in the same tone, as a
share of all pixels that belong to the painting or have the thing's colour, is the answer.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from demo_model.training.brush import Brush, Colour, mix, shade
from demo_model.training.layout import COLUMNS, FLYING, FOOT, HEIGHTS, HOVER, SIZE
from demo_model.training.scene import KINDS
from demo_model.training.things import DRAWERS, GLOW, PALETTE, PANE, STEEL, WOOD, Spot

REACH = 56
"""Half the width in which a thing is looked for, in pixels."""
DRIFT = 24
"""How far its foot may be from where things stand."""
TOLERANCE = 42.0
"""How far from a tone a pixel may be, in levels of 255."""
SCALES = (0.9, 1.0, 1.1)
OWN_TONES = 3
"""The first tones belong to the thing's colour, the others to parts that look the same in every colour."""

Tones = NDArray[np.int8]
Spectrum = NDArray[np.complex128]


def kind_at(picture: NDArray[np.uint8], place: str, colour: str) -> str:
    """The kind whose painting in ``colour`` fits best to what is seen at ``place``."""
    seen = _tones(picture, colour)
    seen[:, : max(0, COLUMNS[place] - REACH)] = -1
    seen[:, COLUMNS[place] + REACH :] = -1
    by_tone = _spectra(seen)
    own = (seen >= 0) & (seen < OWN_TONES)
    return max(KINDS, key=lambda kind: _fit(by_tone, own, _paintings(kind, colour), place, kind in FLYING))


def _fit(
    by_tone: Spectrum,
    own: NDArray[np.bool_],
    paintings: list[tuple[Spectrum, Spectrum, int]],
    place: str,
    flying: bool,
) -> float:
    """The best share of pixels alike, over all paintings of a kind and all positions."""
    foot = HOVER if flying else FOOT
    rows = np.arange(foot - DRIFT, foot + DRIFT) % SIZE
    columns = np.arange(COLUMNS[place] - DRIFT, COLUMNS[place] + DRIFT) % SIZE
    near, own_spectrum, own_area = np.ix_(rows, columns), np.fft.rfft2(own), int(own.sum())
    best = 0.0
    for tones, whole, area in paintings:
        alike = np.fft.irfft2((by_tone * tones).sum(0), s=own.shape)[near]
        inside = np.fft.irfft2(own_spectrum * whole, s=own.shape)[near]
        best = max(best, float((alike / (area + own_area - inside)).max()))
    return best


def _palette(colour: Colour) -> NDArray[np.float32]:
    own = (colour, shade(colour, 0.74), mix(colour, (255, 255, 255), 0.3))
    return np.array([*own, WOOD, GLOW, PANE, STEEL, (64, 140, 52)], np.float32)


def _tones(picture: NDArray[np.uint8], colour: str) -> Tones:
    """For each pixel the number of the nearest tone, or -1."""
    palette = _palette(PALETTE[colour])
    distances = np.stack([np.linalg.norm(picture.astype(np.float32) - tone, axis=2) for tone in palette])
    return np.where(distances.min(0) < TOLERANCE, distances.argmin(0), -1).astype(np.int8)


def _spectra(tones: Tones) -> Spectrum:
    count = len(_palette((0, 0, 0)))
    return np.asarray(np.fft.rfft2(tones[None] == np.arange(count)[:, None, None]))


@cache
def _paintings(kind: str, colour: str) -> list[tuple[Spectrum, Spectrum, int]]:
    """The kind in all sizes: spectra by tone and of all tones (conjugated, the foot at the origin), and the area."""
    found = []
    for height in HEIGHTS[kind]:
        for scale in SCALES:
            brush = Brush([(0, (255, 0, 255)), (1, (255, 0, 255))])
            middle, foot = SIZE // 2, SIZE - 40
            DRAWERS[kind](Spot(brush, middle, foot, height * scale, PALETTE[colour], PANE))
            tones = np.roll(_tones(brush.finished(), colour), (-foot, -middle), (0, 1))
            found.append((np.conj(_spectra(tones)), np.conj(np.fft.rfft2(tones >= 0)), int((tones >= 0).sum())))
    return found
