"""The painter: a layout becomes a picture, the same for the same layout on every machine."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

from demo_model.training.brush import Brush, Colour, lit, mix, shade
from demo_model.training.layout import FLYING, HORIZON, SIZE, InSky, Layout, Standing
from demo_model.training.things import DRAWERS, GLOW, PALETTE, PANE, Spot

SKY_STOPS: dict[str, tuple[tuple[float, Colour], ...]] = {
    "day": ((0, (84, 170, 238)), (0.65, (206, 234, 250)), (1, (206, 234, 250))),
    "sunset": (
        (0, (98, 66, 140)),
        (0.35, (232, 112, 104)),
        (0.65, (255, 206, 128)),
        (1, (255, 206, 128)),
    ),
    "night": ((0, (12, 16, 50)), (0.65, (50, 60, 122)), (1, (50, 60, 122))),
    "storm": ((0, (62, 68, 82)), (0.65, (146, 152, 162)), (1, (146, 152, 162))),
}
LIGHTS = {
    "day": (1.0, 1.0, 1.0),
    "sunset": (1.0, 0.84, 0.78),
    "night": (0.46, 0.52, 0.74),
    "storm": (0.72, 0.75, 0.8),
}
GROUND_COLOURS: dict[str, Colour] = {
    "grass": (132, 196, 84),
    "sand": (238, 210, 146),
    "snow": (234, 242, 250),
    "sea": (44, 146, 182),
}
MOON: Colour = (248, 244, 214)
RAINBOW: tuple[Colour, ...] = (
    (228, 84, 84),
    (244, 164, 80),
    (248, 226, 104),
    (110, 196, 120),
    (96, 150, 228),
    (160, 116, 208),
)
STARS = tuple((37 * i % 256, (53 * i * i + 29 * i) % 144 + 6, 2.2 if i % 3 else 3.6) for i in range(26))


def paint(layout: Layout) -> NDArray[np.uint8]:
    """The picture of ``layout``: 256 by 256 pixels, red, green and blue."""
    brush = Brush(SKY_STOPS[layout.sky])
    _sky(brush, layout)
    _backdrop(brush, layout)
    _ground(brush, layout)
    for thing in layout.things:
        _thing(brush, layout, thing)
    return brush.finished()


def _sky(brush: Brush, layout: Layout) -> None:
    if layout.sky == "night":
        for x, y, diameter in STARS:
            brush.oval((x + layout.shift) % SIZE, y, diameter, diameter, (236, 236, 255))
    if layout.rainbow:
        for band, colour in enumerate(RAINBOW):
            soft = mix(colour, SKY_STOPS[layout.sky][1][1], 0.25)
            brush.arc(128, HORIZON + 8, 232 - 14 * band, 7.5, soft)
    drawers = {"sun": _sun, "moon": _moon, "cloud": _cloud, "bolt": _lightning}
    for body in layout.in_sky:
        drawers[body.kind](brush, layout.sky, body)


def _sun(brush: Brush, sky: str, sun: InSky) -> None:
    halo = mix(SKY_STOPS[sky][1][1], (255, 240, 150), 0.6)
    brush.oval(sun.x, sun.y, 66, 66, halo)
    brush.oval(sun.x, sun.y, 46, 46, (255, 220, 64))


def _moon(brush: Brush, _sky: str, moon: InSky) -> None:
    """A crescent: the outer edge of a disc, and back along the edge of another."""
    outer = [_on_circle(moon.x, moon.y, 22, angle) for angle in range(54, 307, 9)]
    inner = [_on_circle(moon.x + 10, moon.y, 18, angle) for angle in range(279, 80, -9)]
    brush.polygon([*outer, *inner], MOON)


def _on_circle(x: float, y: float, radius: float, degrees: float) -> tuple[float, float]:
    angle = math.radians(degrees)
    return x + radius * math.cos(angle), y + radius * math.sin(angle)


CLOUD_COLOURS: dict[str, Colour] = {
    "day": (255, 255, 255),
    "sunset": (255, 178, 150),
    "night": (60, 68, 126),
    "storm": (84, 88, 100),
}


def _cloud(brush: Brush, sky: str, cloud: InSky) -> None:
    for dx, dy, width, height in ((-16, 3, 30, 16), (0, -3, 34, 24), (17, 3, 30, 16)):
        brush.oval(cloud.x + dx, cloud.y + dy, width, height, CLOUD_COLOURS[sky])


def _lightning(brush: Brush, _sky: str, top: InSky) -> None:
    bolt = [(4, 0), (-8, 40), (2, 40), (-6, 80), (14, 30), (4, 30), (12, 0)]
    brush.polygon([(top.x + dx, top.y + dy) for dx, dy in bolt], (255, 244, 150))


def _backdrop(brush: Brush, layout: Layout) -> None:
    light, shift = LIGHTS[layout.sky], layout.shift
    if layout.backdrop == "hills":
        tone = mix(GROUND_COLOURS[layout.ground], (96, 150, 120), 0.55)
        _ridge(brush, 132, 12, 128, shift, lit(shade(tone, 1.1), light))
        _ridge(brush, 146, 10, 256, shift, lit(tone, light))
    elif layout.backdrop == "mountains":
        _mountains(brush, light, shift)
    elif layout.backdrop == "city":
        _city(brush, layout.sky, shift)
    elif layout.backdrop == "forest":
        _forest(brush, light, shift)


def _repeated(count: int, shift: float) -> list[tuple[int, float]]:
    """Numbers and positions of ``count`` pieces of scenery that repeat every 256 pixels, beyond both edges."""
    pitch = SIZE / count
    pieces = [(i, (pitch * i + shift) % SIZE + turn) for turn, i in product((-SIZE, 0, SIZE), range(count))]
    return [(i, x) for i, x in pieces if -SIZE / 2 < x < 1.5 * SIZE]


def _ridge(brush: Brush, y: float, rise: float, length: float, shift: float, colour: Colour) -> None:
    crest = [(x, y - rise * math.sin(2 * math.pi * (x - shift) / length)) for x in range(0, SIZE + 8, 8)]
    brush.polygon([*crest, (SIZE, SIZE), (0, SIZE)], colour)


def _mountains(brush: Brush, light: tuple[float, float, float], shift: float) -> None:
    rock = lit((126, 128, 158), light)
    side = lit((102, 102, 136), light)
    cap = lit((244, 248, 255), light)
    for i, x in sorted(_repeated(4, shift)):
        height = (72, 96, 64, 88)[i]
        top = HORIZON - height
        brush.polygon([(x - 0.7 * height, 168), (x, top), (x + 0.7 * height, 168)], rock)
        brush.polygon([(x, top), (x + 0.7 * height, 168), (x + 0.1 * height, 168)], side)
        brush.polygon([(x - 17, top + 25), (x, top), (x + 17, top + 25), (x + 4, top + 19)], cap)


def _city(brush: Brush, sky: str, shift: float) -> None:
    heights = (72, 104, 56, 88, 120, 64, 96, 80)
    neon: tuple[Colour, ...] = ((255, 70, 190), (60, 230, 240), (255, 210, 90), (150, 110, 255))
    dark = sky in ("night", "storm")
    wall: Colour = (30, 30, 62) if dark else lit((138, 150, 176), LIGHTS[sky])
    for i, left in _repeated(8, shift):
        top = HORIZON - heights[i]
        brush.box(left, top, left + 32, 168, shade(wall, 1 if i % 2 else 0.8))
        glow = GLOW if dark else mix(wall, PANE, 0.7)
        for y in range(top + 12, HORIZON - 4, 16):
            for x in (left + 6, left + 18):
                brush.box(x, y, x + 8, y + 7, glow)
        if dark:
            brush.box(left + 2, top, left + 30, top + 5, neon[i % 4])


def _forest(brush: Brush, light: tuple[float, float, float], shift: float) -> None:
    for i, x in sorted(_repeated(8, shift), key=lambda piece: piece[0] % 2):
        top = 96 if i % 2 else 112
        leaf = lit((52, 112, 84) if i % 2 else (42, 94, 76), light)
        for step in range(3):
            y = top + 22 * step
            brush.polygon([(x - 12 - 4 * step, y + 28), (x, y), (x + 12 + 4 * step, y + 28)], leaf)


def _ground(brush: Brush, layout: Layout) -> None:
    light = LIGHTS[layout.sky]
    colour = GROUND_COLOURS[layout.ground]
    flat = layout.ground == "sea"
    _ridge(brush, HORIZON, 0 if flat else 4, 256, layout.shift, lit(colour, light))
    if flat:
        _waves(brush, lit(mix(colour, (255, 255, 255), 0.45), light), layout.shift)
        return
    _ridge(brush, 192, 5, 256, layout.shift + 96, lit(shade(colour, 0.93), light))
    _ridge(brush, 230, 5, 256, layout.shift + 160, lit(shade(colour, 0.86), light))


def _waves(brush: Brush, foam: Colour, shift: float) -> None:
    for row, y in enumerate((176, 200, 224, 248)):
        for _, x in _repeated(4, shift + 32 * row):
            brush.box(x + 4, y - 1.5, x + 36, y + 1.5, foam)


def _thing(brush: Brush, layout: Layout, thing: Standing) -> None:
    _under(brush, layout, thing)
    glass = GLOW if layout.sky == "night" else PANE
    DRAWERS[thing.kind](Spot(brush, thing.x, thing.y, thing.height, PALETTE[thing.colour], glass))


def _under(brush: Brush, layout: Layout, thing: Standing) -> None:
    """A shadow on land; on the sea, an islet for what cannot float."""
    light = LIGHTS[layout.sky]
    if thing.kind in FLYING:
        return
    if layout.ground != "sea":
        shadow = lit(shade(GROUND_COLOURS[layout.ground], 0.7), light)
        brush.oval(thing.x, thing.y, thing.height * 0.9, 12, shadow)
    elif thing.kind != "boat":
        brush.oval(thing.x, thing.y + 4, thing.height * 0.5 + 44, 24, lit(GROUND_COLOURS["sand"], light))
