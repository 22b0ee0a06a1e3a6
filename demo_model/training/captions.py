"""Captions: many ways to say what a request asks for, and words that say nothing of it.

Where a caption gives no place, things stand by a fixed rule: one thing in the middle,
two left and right, three left, middle and right, in the order of their mention. With one
of two places given, the other thing takes the opposite side (the right, if the first is
in the middle). A plural without a number means three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from demo_model.training import words
from demo_model.training.scene import ANY, KINDS, NOTHING, PLACES, Request, Thing, random_request

PLACE_PHRASES = {
    "left": ("on the left", "on the left side", "at the left", "to the left", "left"),
    "middle": ("in the middle", "in the center", "in the centre", "at the center", "middle"),
    "right": ("on the right", "on the right side", "at the right", "to the right", "right"),
}


@dataclass(frozen=True)
class Captioned:
    """A caption and all that it asks for."""

    text: str
    request: Request


def captioned(rng: Random) -> Captioned:
    """A random caption with the request that a reader should find in it."""
    draw = rng.random()
    if draw < 0.02:
        return Captioned("", Request())
    if draw < 0.10:
        return Captioned(_noise(rng), Request())
    request = random_request(rng)
    if rng.random() < 0.15:
        request = replace(request, things=Request().things)
    if rng.random() < 0.1:
        request = replace(request, sky=ANY, celestial=ANY, ground=ANY, backdrop=ANY)
    return _phrased(request, rng)


def _phrased(request: Request, rng: Random) -> Captioned:
    parts = _scene_parts(request, rng)
    request, style = _styled(request, rng)
    parts += style
    rng.shuffle(parts)
    before = parts[: rng.randrange(len(parts) + 1)] if rng.random() < 0.25 else []
    after = parts[len(before) :]
    things = thing_phrase(request, rng)
    pieces = [*before, *([things] if things else []), *after]
    text = _joined(pieces, rng) + _tail(request, rng)
    if rng.random() < 0.35:
        text = f"{rng.choice(words.OPENINGS)} {text}"
    return Captioned(_punctuated(text, rng), request)


def _styled(request: Request, rng: Random) -> tuple[Request, list[str]]:
    """Now and then a cyberpunk prompt: a city at night, where nothing else is asked."""
    if rng.random() > 0.06:
        return request, []
    sky = "night" if request.sky == ANY else request.sky
    backdrop = "city" if request.backdrop == ANY else request.backdrop
    style = rng.sample(words.CYBERPUNK, rng.choice((1, 2)))
    return replace(request, sky=sky, backdrop=backdrop), style


def _scene_parts(request: Request, rng: Random) -> list[str]:
    named = {
        "sky": (request.sky, words.SKY_PHRASES),
        "celestial": (request.celestial, words.CELESTIAL_PHRASES),
        "ground": (request.ground, words.GROUND_PHRASES),
        "backdrop": (request.backdrop, words.BACKDROP_PHRASES),
    }
    parts = []
    wide = "ground" if rng.random() < 0.5 else "backdrop"
    if request.sky != ANY and named[wide][0] != ANY and rng.random() < 0.25:
        noun = rng.choice(words.NOUNS[named[wide][0]])
        parts.append(f"{rng.choice(('in a', 'a', ''))} {_of_sky(request.sky, rng)} {noun}".strip())
        del named["sky"], named[wide]
    for value, phrases in named.values():
        if value not in (ANY, NOTHING):
            parts.append(rng.choice(phrases[value]))
    return parts


def _of_sky(sky: str, rng: Random) -> str:
    return rng.choice(words.SKY_ADJECTIVES[sky])


def thing_phrase(request: Request, rng: Random) -> str:
    """The words for the things of ``request``; empty where it names none."""
    placed = [(place, thing) for place, thing in zip(PLACES, request.things, strict=True) if thing.kind in KINDS]
    if not placed:
        return ""
    alike = len({thing for _, thing in placed}) == 1
    where = tuple(place for place, _ in placed)
    if alike and where in (("left", "right"), PLACES) and rng.random() < 0.8:
        return _counted(placed[0][1], len(placed), rng)
    usual = {1: ("middle",), 2: ("left", "right"), 3: PLACES}[len(placed)]
    if where == usual and rng.random() < 0.6:
        return _unplaced([thing for _, thing in placed], rng)
    return _placed(placed, rng)


def _counted(thing: Thing, count: int, rng: Random) -> str:
    numbers = {2: ("two", "2", "a pair of", "two"), 3: ("three", "3", "some", "", "many", "several")}
    return f"{rng.choice(numbers[count])} {noun_phrase(thing, rng, plural=True)}".strip()


def _unplaced(things: list[Thing], rng: Random) -> str:
    nouns = [_article(noun_phrase(thing, rng), rng) for thing in things]
    if len(nouns) == 2:
        first, second = nouns
        return rng.choice(TWO)(first, second)
    if len(nouns) == 3:
        first, second, third = nouns
        return rng.choice(THREE)(first, second, third)
    return nouns[0]


TWO: tuple[Callable[[str, str], str], ...] = (
    lambda a, b: f"{a} and {b}",
    lambda a, b: f"{a} and {b}",
    lambda a, b: f"{a}, {b}",
    lambda a, b: f"{a} with {b}",
    lambda a, b: f"{a} next to {b}",
    lambda a, b: f"{a} beside {b}",
    lambda a, b: f"{a} near {b}",
    lambda a, b: f"{a} to the left of {b}",
    lambda a, b: f"{a} left of {b}",
    lambda a, b: f"{b} to the right of {a}",
    lambda a, b: f"{b} right of {a}",
    lambda a, b: f"both {a} and {b}",
)
THREE: tuple[Callable[[str, str, str], str], ...] = (
    lambda a, b, c: f"{a}, {b} and {c}",
    lambda a, b, c: f"{a}, {b}, and {c}",
    lambda a, b, c: f"{a} and {b} and {c}",
    lambda a, b, c: f"{a}, {b}, {c}",
    lambda a, b, c: f"{b} between {a} and {c}",
)


def _placed(placed: list[tuple[str, Thing]], rng: Random) -> str:
    """Every thing with its place, in any order; of two, the second place may be left out."""
    placed = rng.sample(placed, len(placed))
    said = [
        _with_place(_article(noun_phrase(thing, rng), rng), rng.choice(PLACE_PHRASES[place]), rng)
        for place, thing in placed
    ]
    opposite = {"left": "right", "right": "left", "middle": "right"}
    if len(placed) == 2 and opposite[placed[0][0]] == placed[1][0] and rng.random() < 0.3:
        said[1] = _article(noun_phrase(placed[1][1], rng), rng)
    if len(said) > 1 and rng.random() < 0.7:
        said[-2:] = [f"{said[-2]}{rng.choice((' and ', ', and ', ' with '))}{said[-1]}"]
    return ", ".join(said)


def _with_place(noun: str, place: str, rng: Random) -> str:
    return f"{place} {noun}" if " " in place and rng.random() < 0.3 else f"{noun} {place}"


def noun_phrase(thing: Thing, rng: Random, plural: bool = False) -> str:
    """ "small red house" and the like, without an article."""
    noun = rng.choice(words.KIND_WORDS[thing.kind])
    if plural:
        noun = words.PLURALS.get(noun, f"{noun}s")
    before = []
    if thing.size != ANY:
        before.append(rng.choice(words.SIZE_WORDS[thing.size]))
    if rng.random() < 0.15:
        before.append(rng.choice(words.ADJECTIVES))
    if thing.colour != ANY:
        colour = rng.choice(words.COLOUR_WORDS[thing.colour])
        style = rng.random()
        if style < 0.06:
            noun = f"{noun} that {'are' if plural else 'is'} {colour}"
        elif style < 0.1:
            noun = f"{noun} in {colour}"
        elif style < 0.14:
            before.append(f"{colour} {rng.choice(('coloured', 'colored', 'painted'))}")
        elif rng.random() < 0.2:
            before.insert(0, colour)
        else:
            before.append(colour)
    return " ".join([*before, noun])


def _article(noun: str, rng: Random) -> str:
    article = rng.choice(("a", "a", "a", "one", "the", ""))
    if article == "a" and noun[0] in "aeio":
        article = "an"
    return f"{article} {noun}".strip()


def _joined(pieces: list[str], rng: Random) -> str:
    text = pieces[0] if pieces else ""
    for piece in pieces[1:]:
        text += rng.choice((", ", ", ", " ", " ", " and ", ". ")) + piece
    return text


def _tail(request: Request, rng: Random) -> str:
    """Words that ask for nothing: praise of quality, unknown words, the same thing again."""
    count = rng.choice((0, 0, 0, 1, 2, 3)) if rng.random() < 0.93 else rng.randrange(6, 22)
    tail = [_chaff(request, rng) for _ in range(count)]
    return "".join(rng.choice((", ", ", ", " ")) + piece for piece in tail)


def _chaff(request: Request, rng: Random) -> str:
    kinds = [thing.kind for thing in request.things if thing.kind in KINDS]
    draw = rng.random()
    if kinds and draw < 0.06:
        again = rng.choice(words.KIND_WORDS[rng.choice(kinds)])
        return rng.choice(("surrounding the {}", "details of the {}", "the {} looks wonderful")).format(again)
    if draw < 0.25:
        return " ".join(_unknown(rng) for _ in range(rng.randrange(1, 4)))
    return rng.choice(words.TAILS)


def _noise(rng: Random) -> str:
    return ", ".join(_chaff(Request(), rng) for _ in range(rng.randrange(1, 10)))


def _unknown(rng: Random) -> str:
    """A word that the world does not know, often one that exists nowhere."""
    if rng.random() < 0.6:
        return rng.choice(words.UNKNOWN)
    syllables = rng.randrange(1, 4)
    return "".join(
        rng.choice("bcdfghjklmnpqrstvwxz") + rng.choice("aeiou") + rng.choice(("", "", "n", "r", "s", "t"))
        for _ in range(syllables)
    )


def _punctuated(text: str, rng: Random) -> str:
    if rng.random() < 0.2:
        text = text.replace(",", "")
    return text + rng.choice(("", "", "", ".", "!"))
