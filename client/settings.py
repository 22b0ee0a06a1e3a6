"""The settings of a picture, as the client and the command line call them: a new one is added here, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, TypedDict, get_args, get_type_hints


@dataclass(frozen=True)
class Option:
    """How the command line calls a setting; `sent_as` is its name in the API, where that is another."""

    flag: str
    metavar: str
    about: str | None = None
    sent_as: str | None = None
    #: What makes a value of its text, where its type does not.
    parse: Callable[[str], Any] | None = None


def margins(text: str) -> dict[str, int]:
    """Four numbers of pixels, `left,top,right,bottom`; raises ValueError."""
    names = ("left", "top", "right", "bottom")
    return dict(zip(names, map(int, text.split(",")), strict=True))


class PictureSettings(TypedDict, total=False):
    """What may be said about a picture beside its prompt; what is missing or None is chosen by the server."""

    num_images: Annotated[int | None, Option("--images", "N", "how many pictures (1)")]
    steps: Annotated[int | None, Option("--steps", "N", "denoising steps", sent_as="num_inference_steps")]
    guidance_scale: Annotated[float | None, Option("--guidance", "G", "how closely to follow the prompt")]
    width: Annotated[int | None, Option("--width", "PIXELS")]
    height: Annotated[int | None, Option("--height", "PIXELS")]
    max_sequence_length: Annotated[int | None, Option("--tokens", "N", "tokens of the prompt that are read")]
    strength: Annotated[float | None, Option("--strength", "S", "how far to go from --image, above 0 and up to 1")]
    outpaint: Annotated[
        dict[str, int] | None,
        Option("--outpaint", "L,T,R,B", "pixels to draw around --image: left,top,right,bottom", parse=margins),
    ]
    scheduler: Annotated[str | None, Option("--scheduler", "NAME", "a noise schedule of `cyberimage models`")]
    seed: Annotated[int | None, Option("--seed", "N", "the same seed makes the same picture again")]


#: The pictures that a request may bring, and what they are.
PICTURES: Final = {"image": "the picture to begin from", "mask": "what of it is drawn anew: white"}
NAMES: Final = tuple(PictureSettings.__annotations__)


@cache
def _options() -> dict[str, tuple[type, Option]]:
    """The type and the option of each setting."""
    hints = get_type_hints(PictureSettings, include_extras=True)
    return {name: (get_args(get_args(hint)[0])[0], get_args(hint)[1]) for name, hint in hints.items()}


def options() -> Iterator[tuple[str, Callable[[str], Any], Option]]:
    """Name, what makes a value of a text, and option of each setting, in order."""
    return ((name, option.parse or kind, option) for name, (kind, option) in _options().items())


def as_sent(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The `settings` of a request; raises TypeError for a name that is none."""
    unknown = settings.keys() - set(NAMES)
    if unknown:
        raise TypeError(f"{min(unknown)!r} is not a setting; there are: {', '.join(NAMES)}")
    return {_options()[name][1].sent_as or name: value for name, value in settings.items() if value is not None}
