"""Detectors over the drawn world: which sky, which ground, what colour stands where.

They look at colours in fixed regions, nothing is learned. :mod:`demo_model.evaluate`
also runs them on painted scenes, so their own error is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from demo_model.training.brush import Colour, lit, mix, shade
from demo_model.training.layout import COLUMNS
from demo_model.training.scene import COLOURS, GROUNDS, PLACES, SKIES
from demo_model.training.things import GLOW, PALETTE, PANE, STEEL, WOOD
from demo_model.training.world import GROUND_COLOURS, LIGHTS, MOON, RAINBOW, SKY_STOPS

Picture = NDArray[np.uint8]

REACH = 40
"""Half the width of the column in which a thing is looked for, in pixels."""
LAND_ROWS = slice(152, 218)
AIR_ROWS = slice(78, 126)
FAINTEST = 60
"""Fewer pixels than this of any thing's colour count as an empty place."""


@dataclass(frozen=True)
class Found:
    """The place with most of a thing's colour, and that colour (``None``: nothing there)."""

    place: str
    colour: str | None


def sky_of(picture: Picture) -> str:
    """The sky whose colours come closest in the top rows."""
    rows = (2, 10, 18)
    seen = np.median(picture[list(rows)].astype(float), axis=1)
    return min(SKIES, key=lambda sky: float(np.abs(seen - _sky_rows(sky, rows)).sum()))


def _sky_rows(sky: str, rows: tuple[int, ...]) -> NDArray[np.float64]:
    where = [stop * 256 for stop, _ in SKY_STOPS[sky]]
    return np.stack([np.interp(rows, where, [c[i] for _, c in SKY_STOPS[sky]]) for i in range(3)], axis=1)


def ground_of(picture: Picture) -> str:
    """The ground whose colour, in the light of the sky, comes closest in the bottom rows."""
    sky = sky_of(picture)
    seen = np.median(picture[240:].reshape(-1, 3).astype(float), axis=0)
    return min(GROUNDS, key=lambda ground: float(np.abs(seen - _ground(ground, sky)).sum()))


def _ground(ground: str, sky: str) -> NDArray[np.float64]:
    colour = GROUND_COLOURS[ground]
    return np.array(lit(colour if ground == "sea" else shade(colour, 0.86), LIGHTS[sky]), float)


def colour_at(picture: Picture, place: str, flying: bool) -> tuple[str | None, int]:
    """The strongest thing colour at ``place`` and its area in pixels.

    ``flying`` chooses where to look: above the horizon or below it.
    """
    middle = COLUMNS[place]
    rows = AIR_ROWS if flying else LAND_ROWS
    region = picture[rows, middle - REACH : middle + REACH].reshape(-1, 3).astype(np.float32)
    nearest = _nearest(region, sky_of(picture), ground_of(picture))
    areas = np.bincount(nearest, minlength=len(COLOURS) + 1)[: len(COLOURS)]
    best = int(areas.argmax())
    return (COLOURS[best] if areas[best] >= FAINTEST else None), int(areas[best])


def thing_in(picture: Picture, flying: bool) -> Found:
    """The most visible thing of a picture with one thing."""
    seen = {place: colour_at(picture, place, flying) for place in PLACES}
    place = max(PLACES, key=lambda p: seen[p][1])
    return Found(place, seen[place][0])


def _nearest(pixels: NDArray[np.float32], sky: str, ground: str) -> NDArray[np.intp]:
    """For each pixel the number of its thing colour, or the last number for all else."""
    things = [PALETTE[colour] for colour in COLOURS]
    references = np.array([*things, *_scenery(sky, ground)], np.float32)
    distances = np.linalg.norm(pixels[:, None] - references[None], axis=2)
    nearest = distances.argmin(1)
    far = distances.min(1) > 60
    return np.where(far | (nearest >= len(COLOURS)), len(COLOURS), nearest)


def _scenery(sky: str, ground: str) -> list[Colour]:
    """All colours of a picture that belong to no thing's body."""
    light = LIGHTS[sky]
    soil = GROUND_COLOURS[ground]
    tones = [lit(shade(soil, factor), light) for factor in (1, 0.93, 0.86, 0.7)]
    foam = lit(mix(soil, (255, 255, 255), 0.45), light)
    rocks = [lit(c, light) for c in ((126, 128, 158), (102, 102, 136), (244, 248, 255))]
    woods = [lit(c, light) for c in ((52, 112, 84), (42, 94, 76))]
    isle = lit(GROUND_COLOURS["sand"], light)
    dark = sky in ("night", "storm")
    wall: Colour = (30, 30, 62) if dark else lit((138, 150, 176), light)
    neon: list[Colour] = [(255, 70, 190), (60, 230, 240), (255, 210, 90), (150, 110, 255)]
    hill = mix(soil, (96, 150, 120), 0.55)
    hills = [lit(shade(hill, 1.1), light), lit(hill, light)]
    stops = [c for _, c in SKY_STOPS[sky]]
    skies = [mix(a, b, i / 4) for a, b in pairwise(stops) for i in range(5)]
    lamps: list[Colour] = [GLOW, PANE, WOOD, STEEL, (255, 220, 64), MOON]
    bands = [mix(colour, SKY_STOPS[sky][1][1], 0.25) for colour in RAINBOW]
    shades = [shade(PALETTE[c], 0.74) for c in COLOURS]
    lights = [mix(PALETTE[c], (255, 255, 255), 0.3) for c in COLOURS if c != "white"]
    walls = [wall, shade(wall, 0.8), *(neon if dark else [])]
    scenery = [*tones, foam, *rocks, *woods, isle, *walls, *hills, *skies, *lamps, *bands]
    return [*scenery, *shades, *lights]
