"""The latents: a map of the scene, in cells of 16 by 16 pixels.

An autoencoder usually finds its own code for pictures. Here the code is given, because we know what is in each
picture: every cell says which sky, ground and backdrop the scene has, what stands in the cell, in which colour, and
where in that thing the cell lies; and it shows roughly how the cell looks (:mod:`patch_code`). Such a map is smooth, so
a small denoiser learns to make one quickly, and a decoder (:mod:`autoencoder`) learns to draw crisp pictures from it.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

from demo_model.training.layout import SIZE, InSky, Layout, Standing
from demo_model.training.scene import BACKDROPS, COLOURS, GROUNDS, KINDS, SKIES

Floats = NDArray[np.float32]

PATCH = 16
"""Side of a cell in pixels."""
GRID = SIZE // PATCH


def _even_words(length: int) -> list[tuple[float, ...]]:
    """All words of -1 and 1 with an even number of 1: any two differ in two letters at least."""
    return [word for word in product((-1.0, 1.0), repeat=length) if word.count(1.0) % 2 == 0]


def _hamming_words() -> list[tuple[float, ...]]:
    """The 16 words of the Hamming code of length 7: any two differ in three letters at least."""
    words = []
    for a, b, c, d in product((0, 1), repeat=4):
        bits = (a, b, c, d, a ^ b ^ d, a ^ c ^ d, b ^ c ^ d)
        words.append(tuple(2.0 * bit - 1 for bit in bits))
    return words


def _coded(names: tuple[str, ...], words: list[tuple[float, ...]]) -> dict[str, Floats]:
    """A word for each name; the first word is left to nothing at all where there are enough."""
    spare = len(words) - len(names)
    return {name: np.array(word, np.float32) for name, word in zip(names, words[min(spare, 1) :], strict=False)}


SKY_WORDS = _coded(SKIES, _even_words(3))
GROUND_WORDS = _coded(GROUNDS, _even_words(3))
BACKDROP_WORDS = _coded(BACKDROPS, _even_words(4))
IN_SKY_WORDS = _coded(("sun", "moon", "cloud", "bolt"), _even_words(3))
KIND_WORDS = _coded(KINDS, _hamming_words())
COLOUR_WORDS = _coded(COLOURS, _even_words(5))

_PARTS = {
    "sky": 3,
    "ground": 3,
    "backdrop": 4,
    "rainbow": 1,
    "shift": 2,
    "across and down": 2,
    "in sky": 3,
    "place in sky": 2,
    "kind": 7,
    "colour": 5,
    "place in thing": 2,
    "height": 1,
}
"""What the channels say, and how many each takes."""
_ENDS = np.cumsum(list(_PARTS.values()))
CHANNELS = int(_ENDS[-1])
PART = {name: slice(int(end) - count, int(end)) for (name, count), end in zip(_PARTS.items(), _ENDS, strict=True)}
"""The channels of each part."""

CENTRES = (np.arange(GRID, dtype=np.float32) + 0.5) * PATCH
IN_SKY_REACH = {"sun": (33, 33, 33), "moon": (23, 23, 23), "cloud": (34, 18, 12), "bolt": (16, 0, 82)}
"""Half the width of what is in the sky, and how far it reaches up and down from its point."""
IN_SKY_UNIT = 24.0
"""So many pixels are 1 in the place within something in the sky."""
THING_REACH = (0.5, 1.0, 0.1)
"""Half the width of a thing with its shadow, and how far it reaches up and down, in parts of its height."""
THING_UNIT = 0.4
MEAN_HEIGHT, HEIGHT_UNIT = 80.0, 20.0
LEAST_SHARE = 0.2
"""A cell belongs to what covers at least this share of its width and height."""


def encode(layout: Layout) -> Floats:
    """The latents (channels, 16, 16) of ``layout``; rows from the top, columns from the left."""
    cells = np.zeros((CHANNELS, GRID, GRID), np.float32)
    cells[PART["sky"]] = SKY_WORDS[layout.sky][:, None, None]
    cells[PART["ground"]] = GROUND_WORDS[layout.ground][:, None, None]
    cells[PART["backdrop"]] = BACKDROP_WORDS[layout.backdrop][:, None, None]
    cells[PART["rainbow"]] = 1 if layout.rainbow else -1
    angle = 2 * math.pi * (CENTRES - layout.shift) / SIZE
    cells[PART["shift"]] = math.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)])[:, None, :]
    ramp = (CENTRES - SIZE / 2) / (SIZE / 3.4)
    across, down = cells[PART["across and down"]]
    across[:], down[:] = ramp[None, :], ramp[:, None]
    for body in layout.in_sky:
        _put_in_sky(cells, body)
    for thing in layout.things:
        _put_thing(cells, thing)
    return cells


def _put_in_sky(cells: Floats, body: InSky) -> None:
    half, up, down = IN_SKY_REACH[body.kind]
    rows, columns = _covered(body.y - up, body.y + down), _covered(body.x - half, body.x + half)
    cells[PART["in sky"], rows, columns] = IN_SKY_WORDS[body.kind][:, None, None]
    across, below = cells[PART["place in sky"], rows, columns]
    across[:] = (CENTRES[None, columns] - body.x) / IN_SKY_UNIT
    below[:] = (CENTRES[rows, None] - body.y) / IN_SKY_UNIT


def _put_thing(cells: Floats, thing: Standing) -> None:
    half, up, down = (reach * thing.height for reach in THING_REACH)
    rows, columns = _covered(thing.y - up, thing.y + down), _covered(thing.x - half, thing.x + half)
    cells[PART["kind"], rows, columns] = KIND_WORDS[thing.kind][:, None, None]
    cells[PART["colour"], rows, columns] = COLOUR_WORDS[thing.colour][:, None, None]
    cells[PART["height"], rows, columns] = (thing.height - MEAN_HEIGHT) / HEIGHT_UNIT
    across, above = cells[PART["place in thing"], rows, columns]
    across[:] = (CENTRES[None, columns] - thing.x) / thing.height / THING_UNIT
    above[:] = ((thing.y - CENTRES[rows, None]) / thing.height - 0.5) / THING_UNIT


def _covered(start: float, end: float) -> slice:
    """The cells of which at least :data:`LEAST_SHARE` lies between ``start`` and ``end`` (pixels)."""
    first = math.ceil(start / PATCH - (1 - LEAST_SHARE))
    last = math.floor(end / PATCH - LEAST_SHARE)
    return slice(max(first, 0), max(min(last, GRID - 1) + 1, 0))
