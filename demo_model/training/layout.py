"""Where everything of a scene stands: a scene's seed turned into places and sizes.

The painter (:mod:`world`) draws a layout, and the latents (:mod:`latents`) describe it, so both agree to the pixel.
All lengths are pixels of a picture of 256 by 256, from its top left corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from demo_model.training.scene import NOTHING, PLACES, Scene, Thing

SIZE = 256
HORIZON = 160
COLUMNS = {"left": 48, "middle": 128, "right": 208}
FOOT = 216
HOVER = 128
HEIGHTS = {
    "house": (56, 88),
    "tree": (64, 108),
    "castle": (64, 96),
    "lighthouse": (72, 124),
    "boat": (56, 88),
    "flower": (56, 92),
    "car": (48, 76),
    "balloon": (72, 112),
    "spaceship": (48, 76),
    "cat": (56, 88),
}
"""How tall a small and a big thing is."""
FLYING = frozenset({"balloon", "spaceship"})
SKY_COLUMNS = (32, 96, 160, 224)
CLOUD_ROWS = (36, 60)
STORM_ROWS = (36, 44)
SHIFT_STEP = 16
BOLT_TOP = 66


@dataclass(frozen=True)
class Standing:
    """A thing in its place: (x, y) is the middle of its foot."""

    kind: str
    colour: str
    x: float
    y: float
    height: float


@dataclass(frozen=True)
class InSky:
    """The sun, the moon, a cloud or a bolt of lightning; (x, y) is its middle, of a bolt its top."""

    kind: str
    x: float
    y: float


@dataclass(frozen=True)
class Layout:
    """All that the painter needs. ``shift`` moves the scenery sideways, which repeats after 256 pixels."""

    sky: str
    ground: str
    backdrop: str
    rainbow: bool
    shift: float
    in_sky: tuple[InSky, ...]
    things: tuple[Standing, ...]


def arranged(scene: Scene) -> Layout:
    """The layout of ``scene``; what no word names is drawn from its seed."""
    rng = Random(scene.seed)
    things = tuple(
        _standing(place, thing) for place, thing in zip(PLACES, scene.things, strict=True) if thing.kind != NOTHING
    )
    return Layout(
        sky=scene.sky,
        ground=scene.ground,
        backdrop=scene.backdrop,
        rainbow=scene.celestial == "rainbow",
        shift=rng.randrange(0, SIZE, SHIFT_STEP),
        in_sky=_in_sky(scene, things, rng),
        things=things,
    )


def _standing(place: str, thing: Thing) -> Standing:
    foot = HOVER if thing.kind in FLYING else FOOT
    height = HEIGHTS[thing.kind][thing.size == "big"]
    return Standing(thing.kind, thing.colour, COLUMNS[place], foot, height)


def _in_sky(scene: Scene, things: tuple[Standing, ...], rng: Random) -> tuple[InSky, ...]:
    """The celestial body where nothing flies, if there is such a column, and clouds in other columns."""
    flying = [thing.x for thing in things if thing.kind in FLYING]
    columns = rng.sample(SKY_COLUMNS, len(SKY_COLUMNS))
    columns.sort(key=lambda column: any(abs(column - x) < 56 for x in flying))
    found = []
    if scene.celestial in ("sun", "moon"):
        low = scene.celestial == "sun" and scene.sky == "sunset"
        found.append(InSky(scene.celestial, columns.pop(0), 120 if low else 48))
    rows = STORM_ROWS if scene.sky == "storm" else CLOUD_ROWS
    count = len(columns) if scene.sky == "storm" else rng.choice((0, 1, 2))
    for column in columns[:count]:
        found.append(InSky("cloud", column, rng.choice(rows)))
    if scene.sky == "storm":
        found.append(InSky("bolt", rng.choice((64, 192)), BOLT_TOP))
    return tuple(found)
