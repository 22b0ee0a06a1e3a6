"""The painter: a scene becomes a picture, the same for the same scene on every machine."""

from __future__ import annotations

import math
from random import Random

import numpy as np
from numpy.typing import NDArray

from demo_model.training.brush import SIZE, Brush, Colour, lit, mix, shade
from demo_model.training.scene import PLACES, Scene, Thing
from demo_model.training.things import DRAWERS, FLYING, GLOW, HEIGHTS, PALETTE, PANE, Spot

HORIZON = 160
COLUMNS = {"left": 48, "middle": 128, "right": 208}
FOOT = 216
HOVER = 128

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


def paint(scene: Scene) -> NDArray[np.uint8]:
    """The picture of ``scene``: 256 by 256 pixels, red, green and blue."""
    rng = Random(scene.seed)
    brush = Brush(SKY_STOPS[scene.sky])
    _sky(brush, scene, rng)
    _backdrop(brush, scene, rng)
    _ground(brush, scene, rng)
    for place, thing in zip(PLACES, scene.things, strict=True):
        if thing.kind in DRAWERS:
            _thing(brush, scene, thing, COLUMNS[place], rng)
    return brush.finished()


def _sky(brush: Brush, scene: Scene, rng: Random) -> None:
    if scene.sky == "night":
        shift = 16 * rng.randrange(16)
        for x, y, diameter in STARS:
            brush.oval((x + shift) % SIZE, y, diameter, diameter, (236, 236, 255))
    _celestial(brush, scene, rng)
    _clouds(brush, scene.sky, rng)


def _celestial(brush: Brush, scene: Scene, rng: Random) -> None:
    x = rng.choice((40, 88, 168, 216))
    if scene.celestial == "sun":
        y = 120 if scene.sky == "sunset" else 48
        halo = mix(SKY_STOPS[scene.sky][1][1], (255, 240, 150), 0.6)
        brush.oval(x, y, 66, 66, halo)
        brush.oval(x, y, 46, 46, (255, 220, 64))
    elif scene.celestial == "moon":
        behind = mix(SKY_STOPS[scene.sky][0][1], SKY_STOPS[scene.sky][1][1], 0.45)
        brush.oval(x, 48, 44, 44, MOON)
        brush.oval(x + 11, 43, 36, 36, behind)
    elif scene.celestial == "rainbow":
        for band, colour in enumerate(RAINBOW):
            soft = mix(colour, SKY_STOPS[scene.sky][1][1], 0.25)
            brush.arc(128, HORIZON + 8, 232 - 14 * band, 7.5, soft)


def _clouds(brush: Brush, sky: str, rng: Random) -> None:
    colour: Colour = {
        "day": (255, 255, 255),
        "sunset": (255, 178, 150),
        "night": (60, 68, 126),
        "storm": (84, 88, 100),
    }[sky]
    count = 4 if sky == "storm" else rng.choice((0, 1, 2))
    for column in rng.sample(range(4), count):
        x, y = 32 + 64 * column + rng.choice((-8, 8)), rng.choice((32, 48, 64))
        for dx, dy, width, height in ((-16, 3, 30, 16), (0, -3, 34, 24), (17, 3, 30, 16)):
            brush.oval(x + dx, y + dy, width, height, colour)
    if sky == "storm":
        _lightning(brush, rng.choice((64, 96, 160, 192)))


def _lightning(brush: Brush, x: float) -> None:
    bolt = [(4, 64), (-8, 104), (2, 104), (-6, 144), (14, 94), (4, 94), (12, 64)]
    brush.polygon([(x + dx, y) for dx, y in bolt], (255, 244, 150))


def _backdrop(brush: Brush, scene: Scene, rng: Random) -> None:
    shift = 16 * rng.randrange(16)
    light = LIGHTS[scene.sky]
    if scene.backdrop == "hills":
        tone = mix(GROUND_COLOURS[scene.ground], (96, 150, 120), 0.55)
        _ridge(brush, 132, 12, 128, shift, lit(shade(tone, 1.1), light))
        _ridge(brush, 146, 10, 256, shift, lit(tone, light))
    elif scene.backdrop == "mountains":
        _mountains(brush, light, shift)
    elif scene.backdrop == "city":
        _city(brush, scene.sky, shift)
    elif scene.backdrop == "forest":
        _forest(brush, light, shift)


def _ridge(brush: Brush, y: float, rise: float, length: float, shift: float, colour: Colour) -> None:
    crest = [(x, y - rise * math.sin(2 * math.pi * (x + shift) / length)) for x in range(0, SIZE + 8, 8)]
    brush.polygon([*crest, (SIZE, SIZE), (0, SIZE)], colour)


def _mountains(brush: Brush, light: tuple[float, float, float], shift: float) -> None:
    rock = lit((126, 128, 158), light)
    side = lit((102, 102, 136), light)
    cap = lit((244, 248, 255), light)
    for centre, height in ((0, 72), (64, 96), (128, 64), (192, 88), (256, 72), (320, 96)):
        x = (centre + shift) % 384 - 64
        top = HORIZON - height
        brush.polygon([(x - 0.7 * height, 168), (x, top), (x + 0.7 * height, 168)], rock)
        brush.polygon([(x, top), (x + 0.7 * height, 168), (x + 0.1 * height, 168)], side)
        brush.polygon([(x - 17, top + 25), (x, top), (x + 17, top + 25), (x + 4, top + 19)], cap)


def _city(brush: Brush, sky: str, shift: float) -> None:
    heights = (72, 104, 56, 88, 120, 64, 96, 80)
    neon: tuple[Colour, ...] = ((255, 70, 190), (60, 230, 240), (255, 210, 90), (150, 110, 255))
    dark = sky in ("night", "storm")
    wall: Colour = (30, 30, 62) if dark else lit((138, 150, 176), LIGHTS[sky])
    for i in range(9):
        left = (32 * i + shift) % 288 - 32
        top = HORIZON - heights[i % 8]
        brush.box(left, top, left + 32, 168, shade(wall, 1 if i % 2 else 0.8))
        glow = GLOW if dark else mix(wall, PANE, 0.7)
        for y in range(top + 12, HORIZON - 4, 16):
            for x in (left + 6, left + 18):
                brush.box(x, y, x + 8, y + 7, glow)
        if dark:
            brush.box(left + 2, top, left + 30, top + 5, neon[i % 4])


def _forest(brush: Brush, light: tuple[float, float, float], shift: float) -> None:
    for i in range(9):
        x = (32 * i + shift) % 288 - 16
        top = 96 if i % 2 else 112
        leaf = lit((52, 112, 84) if i % 2 else (42, 94, 76), light)
        for step in range(3):
            y = top + 22 * step
            brush.polygon([(x - 12 - 4 * step, y + 28), (x, y), (x + 12 + 4 * step, y + 28)], leaf)


def _ground(brush: Brush, scene: Scene, rng: Random) -> None:
    light = LIGHTS[scene.sky]
    colour = GROUND_COLOURS[scene.ground]
    shift = 32 * rng.randrange(8)
    flat = scene.ground == "sea"
    _ridge(brush, HORIZON, 0 if flat else 4, 256, shift, lit(colour, light))
    if flat:
        _waves(brush, lit(mix(colour, (255, 255, 255), 0.45), light), shift)
        return
    _ridge(brush, 192, 5, 256, shift + 96, lit(shade(colour, 0.93), light))
    _ridge(brush, 230, 5, 256, shift + 160, lit(shade(colour, 0.86), light))


def _waves(brush: Brush, foam: Colour, shift: float) -> None:
    for row, y in enumerate((176, 200, 224, 248)):
        for column in range(4):
            x = (64 * column + 32 * row + shift) % SIZE
            brush.box(x + 4, y - 1.5, x + 36, y + 1.5, foam)


def _thing(brush: Brush, scene: Scene, thing: Thing, column: float, rng: Random) -> None:
    x = column + rng.choice((-8, 0, 8))
    height = HEIGHTS[thing.kind][thing.size == "big"]
    y = (HOVER if thing.kind in FLYING else FOOT) + rng.choice((-8, 0, 8))
    _under(brush, scene, thing, x, y, height)
    glass = GLOW if scene.sky == "night" else PANE
    DRAWERS[thing.kind](Spot(brush, x, y, height, PALETTE[thing.colour], glass))


def _under(brush: Brush, scene: Scene, thing: Thing, x: float, y: float, height: float) -> None:
    """A shadow on land; on the sea, an islet for what cannot float."""
    light = LIGHTS[scene.sky]
    if thing.kind in FLYING:
        return
    if scene.ground != "sea":
        shadow = lit(shade(GROUND_COLOURS[scene.ground], 0.7), light)
        brush.oval(x, y, height * 0.9, 12, shadow)
    elif thing.kind != "boat":
        brush.oval(x, y + 4, height * 0.5 + 44, 24, lit(GROUND_COLOURS["sand"], light))
