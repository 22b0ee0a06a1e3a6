"""The words of the drawn world, and what a prompt can ask of it.

A :class:`Request` says what a prompt asks for, with :data:`ANY` for what it leaves
open. A :class:`Scene` leaves nothing open, and the painter can draw it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

ANY = "any"
NOTHING = "nothing"

SKIES = ("day", "sunset", "night", "storm")
CELESTIALS = (NOTHING, "sun", "moon", "rainbow")
GROUNDS = ("grass", "sand", "snow", "sea")
BACKDROPS = (NOTHING, "hills", "mountains", "city", "forest")
KINDS = (
    "house",
    "tree",
    "castle",
    "lighthouse",
    "boat",
    "flower",
    "car",
    "balloon",
    "spaceship",
    "cat",
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black")
SIZES = ("small", "big")
PLACES = ("left", "middle", "right")

NATURAL_COLOURS = {
    "house": ("red", "white", "yellow"),
    "tree": ("green",),
    "castle": ("white", "purple"),
    "lighthouse": ("red", "white"),
    "boat": ("red", "blue", "white"),
    "flower": ("red", "pink", "yellow"),
    "car": ("red", "blue"),
    "balloon": ("red", "orange", "pink"),
    "spaceship": ("blue", "purple"),
    "cat": ("orange", "black"),
}


@dataclass(frozen=True)
class Thing:
    """One thing at one place; any of the three may be :data:`ANY` in a request."""

    kind: str = ANY
    colour: str = ANY
    size: str = ANY


EMPTY = Thing(NOTHING)
OPEN = Thing()


@dataclass(frozen=True)
class Request:
    """What a prompt asks for. ``things`` stand left, in the middle and right."""

    sky: str = ANY
    celestial: str = ANY
    ground: str = ANY
    backdrop: str = ANY
    things: tuple[Thing, Thing, Thing] = (OPEN, OPEN, OPEN)


@dataclass(frozen=True)
class Scene:
    """A scene that leaves nothing open. ``seed`` decides everything that no word names."""

    sky: str
    celestial: str
    ground: str
    backdrop: str
    things: tuple[Thing, Thing, Thing] = field(default=(EMPTY, EMPTY, EMPTY))
    seed: int = 0


Item = TypeVar("Item")


def weighted(rng: Random, choices: Sequence[Item], weights: Sequence[float]) -> Item:
    """One of ``choices``, drawn with ``weights``."""
    return rng.choices(choices, weights)[0]


def complete(request: Request, rng: Random) -> Scene:
    """A scene that honours ``request`` and fills what it leaves open, likely things first."""
    sky = _sky(request, rng)
    ground = request.ground
    if ground == ANY:
        has_boat = any(thing.kind == "boat" for thing in request.things)
        ground = "sea" if has_boat else weighted(rng, GROUNDS, (5, 2, 2, 1))
    return Scene(
        sky=sky,
        celestial=_celestial(request, sky, rng),
        ground=ground,
        backdrop=_backdrop(request, rng),
        things=_things(request, rng),
        seed=rng.randrange(2**31),
    )


def _sky(request: Request, rng: Random) -> str:
    if request.sky != ANY:
        return request.sky
    weights = {"sun": (3, 1, 0, 0), "moon": (0, 0, 1, 0), "rainbow": (1, 0, 0, 0)}
    return weighted(rng, SKIES, weights.get(request.celestial, (5, 2, 2, 1)))


def _celestial(request: Request, sky: str, rng: Random) -> str:
    if request.celestial != ANY:
        return request.celestial
    likely = {
        "day": (2, 6, 0, 1),
        "sunset": (1, 6, 0, 0),
        "night": (1, 0, 6, 0),
        "storm": (1, 0, 0, 0),
    }
    return weighted(rng, CELESTIALS, likely[sky])


def _backdrop(request: Request, rng: Random) -> str:
    if request.backdrop != ANY:
        return request.backdrop
    return weighted(rng, BACKDROPS, (3, 3, 2, 0.6, 1))


def _things(request: Request, rng: Random) -> tuple[Thing, Thing, Thing]:
    crowded = all(thing.kind in KINDS for thing in request.things)
    things = [_thing(thing, rng, likely_sizes=(3, 1) if crowded else (1, 2)) for thing in request.things]
    if all(thing == OPEN for thing in request.things):
        # A prompt that names no thing gets a quiet scene: none or one.
        kept = rng.choice((0, 1, 1, 2))
        things = [thing if i == kept and rng.random() < 0.7 else EMPTY for i, thing in enumerate(things)]
    return (things[0], things[1], things[2])


def _thing(thing: Thing, rng: Random, likely_sizes: tuple[float, float]) -> Thing:
    if thing.kind == NOTHING:
        return EMPTY
    kind = rng.choice(KINDS) if thing.kind == ANY else thing.kind
    colour = thing.colour
    if colour == ANY:
        colour = rng.choice(NATURAL_COLOURS[kind])
    size = weighted(rng, SIZES, likely_sizes) if thing.size == ANY else thing.size
    return Thing(kind, colour, size)


def random_request(rng: Random) -> Request:
    """A request as a training caption would make it; often two things with two colours."""
    count = weighted(rng, (0, 1, 2, 3), (10, 34, 42, 14))
    places = rng.sample(range(3), count)
    things = [OPEN if count == 0 else EMPTY] * 3
    for place in places:
        things[place] = Thing(
            rng.choice(KINDS),
            rng.choice(COLOURS) if rng.random() < 0.85 else ANY,
            rng.choice(SIZES) if rng.random() < 0.3 else ANY,
        )
    if count >= 2 and rng.random() < 0.15:
        things = [things[places[0]] if i in places else EMPTY for i in range(3)]
    sky = rng.choice(SKIES) if rng.random() < 0.75 else ANY
    return Request(
        sky=sky,
        celestial=_asked_celestial(sky, rng),
        ground=rng.choice(GROUNDS) if rng.random() < 0.7 else ANY,
        backdrop=rng.choice(BACKDROPS[1:]) if rng.random() < 0.3 else ANY,
        things=(things[0], things[1], things[2]),
    )


def _asked_celestial(sky: str, rng: Random) -> str:
    if rng.random() < 0.7 or sky == "storm":
        return ANY
    fitting = {"day": ("sun", "rainbow"), "sunset": ("sun",), "night": ("moon",)}
    return rng.choice(fitting.get(sky, CELESTIALS[1:]))
