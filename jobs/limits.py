"""What a model can make: its limits, and the one table of rules that compares settings with them.

Whoever asks gets the field, its value and what would be right: the validator of requests, the check of the catalog's
own defaults, the warnings about what is done otherwise than asked, and the sentences about values of a wrong type.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from jobs.schema import ModelDefaults


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model can make. Sides are in pixels and multiples of `size_multiple`."""

    min_side: Annotated[int, Meta(ge=8)] = 256
    max_side: Annotated[int, Meta(ge=8)] = 2048
    #: The shorter side up to which the model itself draws; a larger picture is drawn smaller and enlarged. None: all.
    drawn_side: Annotated[int, Meta(ge=8)] | None = None
    max_pixels: Annotated[int, Meta(ge=64)] = 4_194_304
    size_multiple: Annotated[int, Meta(ge=1)] = 16
    max_steps: Annotated[int, Meta(ge=1, le=1000)] = 150
    max_guidance_scale: Annotated[float, Meta(ge=0, le=100)] = 30.0
    max_sequence_length: Annotated[int, Meta(ge=1, le=512)] = 512

    def drawn(self, height: int, width: int) -> tuple[int, int]:
        """The height and width at which the model draws a picture of this size, in about the same shape."""
        shorter = min(height, width)
        if self.drawn_side is None or shorter <= self.drawn_side:
            return height, width
        return self._scaled(height, self.drawn_side / shorter), self._scaled(width, self.drawn_side / shorter)

    def shaped_like(self, height: int, width: int, most_pixels: int) -> tuple[int, int]:
        """The height and width of a picture of this shape: its own where they are allowed, else the nearest below.

        At most `most_pixels`, unless that is less than can be made.
        """
        most = min(most_pixels, self.max_pixels)
        scale = min(1.0, math.sqrt(most / (height * width)), self.max_side / max(height, width))
        scale = max(scale, self.min_side / min(height, width))
        sides = [self._rounded(height * scale), self._rounded(width * scale)]
        while math.prod(sides) > self.max_pixels and max(sides) > self._rounded(0):
            sides[sides.index(max(sides))] -= self.size_multiple
        return sides[0], sides[1]

    def _rounded(self, side: float) -> int:
        """The side that can be drawn nearest below, but at least the smallest."""
        smallest = -(-self.min_side // self.size_multiple)
        largest = self.max_side // self.size_multiple
        # A hair's breadth more than the quotient: 0.7 x 720 must not become 503.
        return max(smallest, min(largest, int(side / self.size_multiple + 1e-6))) * self.size_multiple

    def _scaled(self, side: int, scale: float) -> int:
        return max(self.min_side, round(side * scale / self.size_multiple) * self.size_multiple)

    def fault(self) -> str | None:
        """A sentence about limits that contradict each other, to follow their place; None if none do."""
        if self.min_side > self.max_side:
            return f"min_side is {self.min_side}; it must be at most max_side, {self.max_side}."
        if self.drawn_side is not None and self.drawn_side < self.min_side:
            return f"drawn_side is {self.drawn_side}; it must be at least min_side, {self.min_side}."
        return None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One limit: of `fields` taken together."""

    fields: tuple[str, ...]
    #: What is right, in words.
    right: Callable[[Limits], str]
    #: Whether these values, in the order of `fields`, are.
    allows: Callable[..., bool]
    #: What a value beyond the limit is replaced by, with a warning; None: it is refused.
    replacement: Callable[[Limits], Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A rule that settings break."""

    fields: tuple[str, ...]
    value: str
    right: str

    def subject(self, place: str) -> str:
        """The fields by their full names: `settings.width x settings.height`."""
        return " x ".join(f"{place}.{name}" for name in self.fields)


def _side(field: str) -> Rule:
    return Rule(
        fields=(field,),
        right=lambda limits: f"a multiple of {limits.size_multiple} from {limits.min_side} to {limits.max_side}",
        allows=lambda limits, side: limits.min_side <= side <= limits.max_side and side % limits.size_multiple == 0,
    )


RULES: Final = (
    Rule(
        fields=("num_inference_steps",),
        right=lambda limits: f"an integer from 1 to {limits.max_steps}",
        allows=lambda limits, steps: steps <= limits.max_steps,
    ),
    Rule(
        fields=("guidance_scale",),
        right=lambda limits: f"a number from 0 to {limits.max_guidance_scale:g}",
        allows=lambda limits, scale: scale <= limits.max_guidance_scale,
    ),
    Rule(
        fields=("strength", "num_inference_steps"),
        right=lambda _: "at least 1 together, since that is the number of steps that are drawn",
        allows=lambda _, strength, steps: strength is None or strength * steps >= 1,
    ),
    _side("height"),
    _side("width"),
    Rule(
        fields=("width", "height"),
        right=lambda limits: f"at most {limits.max_pixels} pixels",
        allows=lambda limits, width, height: width * height <= limits.max_pixels,
    ),
    Rule(
        fields=("max_sequence_length",),
        right=lambda limits: f"at most {limits.max_sequence_length} tokens",
        allows=lambda limits, length: length <= limits.max_sequence_length,
        replacement=lambda limits: limits.max_sequence_length,
    ),
)

Settings = TypeVar("Settings", bound=ModelDefaults)


def check(settings: ModelDefaults, limits: Limits) -> Violation | None:
    """The first rule that is broken and cannot be kept by replacing a value; None if there is none."""
    return next(
        (_violation(rule, settings, limits) for rule in _broken(settings, limits) if not rule.replacement), None
    )


def keep(settings: Settings, limits: Limits) -> tuple[Settings, list[Violation]]:
    """The settings with what is beyond a limit replaced where that is done, and what was replaced."""
    broken = [rule for rule in _broken(settings, limits) if rule.replacement]
    changes = {rule.fields[0]: rule.replacement(limits) for rule in broken if rule.replacement}
    return msgspec.structs.replace(settings, **changes), [_violation(rule, settings, limits) for rule in broken]


def expected(limits: Limits, place: str) -> dict[str, str]:
    """What would be right for each field that the model narrows, by the field's full name."""
    return {
        f"{place}.{rule.fields[0]}": rule.right(limits)
        for rule in RULES
        if len(rule.fields) == 1 and rule.replacement is None
    }


def _broken(settings: ModelDefaults, limits: Limits) -> list[Rule]:
    return [rule for rule in RULES if not rule.allows(limits, *_values(rule, settings))]


def _violation(rule: Rule, settings: ModelDefaults, limits: Limits) -> Violation:
    value = "x".join(f"{value:.10g}" for value in _values(rule, settings))
    return Violation(fields=rule.fields, value=value, right=rule.right(limits))


def _values(rule: Rule, settings: ModelDefaults) -> list[Any]:
    return [getattr(settings, name) for name in rule.fields]
