"""Fixed prompts for measuring, each with what a picture of it must show."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from demo_model.training import words
from demo_model.training.captions import thing_phrase
from demo_model.training.scene import COLOURS, EMPTY, GROUNDS, KINDS, SKIES, Request, Thing

SEED = 20261123


@dataclass(frozen=True)
class Measured:
    """A prompt, what it asks for, and the seed of its picture."""

    text: str
    request: Request
    seed: int


def measured_prompts(count: int) -> list[Measured]:
    """``count`` prompts by a fixed seed: in turn one thing, and two with two colours."""
    rng = Random(SEED)
    return [_prompt(number, rng) for number in range(count)]


def _prompt(number: int, rng: Random) -> Measured:
    places = rng.sample(range(3), 1 + number % 2)
    colours = rng.sample(COLOURS, len(places))
    things = [EMPTY] * 3
    for place, colour in zip(places, colours, strict=True):
        things[place] = Thing(rng.choice(KINDS), colour)
    request = Request(sky=rng.choice(SKIES), ground=rng.choice(GROUNDS), things=(things[0], things[1], things[2]))
    parts = [
        thing_phrase(request, rng),
        rng.choice(words.SKY_PHRASES[request.sky]),
        rng.choice(words.GROUND_PHRASES[request.ground]),
    ]
    return Measured(rng.choice((", ", " ")).join(parts), request, seed=1000 + number)
