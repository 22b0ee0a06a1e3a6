"""Drawing at twice the size, so that shrinking it gives smooth edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from demo_model.training.layout import SIZE

SCALE = 2

Colour = tuple[int, int, int]
Point = tuple[float, float]


def shade(colour: Colour, factor: float) -> Colour:
    """``colour`` made darker (factor below 1) or lighter (above 1, towards white)."""
    if factor <= 1:
        return _whole(channel * factor for channel in colour)
    return mix(colour, (255, 255, 255), factor - 1)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """``first`` with ``share`` (0 to 1) of ``second`` in it."""
    return _whole(a + (b - a) * share for a, b in zip(first, second, strict=True))


def lit(colour: Colour, light: tuple[float, float, float]) -> Colour:
    """``colour`` under a light that keeps these shares of red, green and blue."""
    return _whole(channel * share for channel, share in zip(colour, light, strict=True))


def _whole(channels: object) -> Colour:
    red, green, blue = (min(255, max(0, round(c))) for c in channels)  # type: ignore[attr-defined]
    return red, green, blue


class Brush:
    """A 256 by 256 canvas; all coordinates are pixels of the finished picture."""

    def __init__(self, stops: Sequence[tuple[float, Colour]]) -> None:
        """Fill the canvas with a vertical gradient through ``stops`` (height 0 to 1, colour)."""
        side = SIZE * SCALE
        heights = np.linspace(0, 1, side)
        where = [stop for stop, _ in stops]
        columns = [np.interp(heights, where, [c[i] for _, c in stops]) for i in range(3)]
        rows = np.stack(columns, axis=1).round().astype(np.uint8)
        self.image = Image.fromarray(np.broadcast_to(rows[:, None], (side, side, 3)).copy())
        self._draw = ImageDraw.Draw(self.image)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self._draw.polygon([(x * SCALE, y * SCALE) for x, y in points], fill=colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        self._draw.rectangle(self._corners(left, top, right, bottom), fill=colour)

    def oval(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """An ellipse around (x, y), ``width`` and ``height`` from edge to edge."""
        half_width, half_height = width / 2, height / 2
        box = self._corners(x - half_width, y - half_height, x + half_width, y + half_height)
        self._draw.ellipse(box, fill=colour)

    def pie(self, x: float, y: float, diameter: float, start: float, end: float, colour: Colour) -> None:
        """A slice of a disc, from ``start`` to ``end`` degrees, clockwise from east."""
        half = diameter / 2
        box = self._corners(x - half, y - half, x + half, y + half)
        self._draw.pieslice(box, start, end, fill=colour)

    def arc(self, x: float, y: float, diameter: float, width: float, colour: Colour) -> None:
        """The upper half of a ring around (x, y)."""
        half = diameter / 2
        box = self._corners(x - half, y - half, x + half, y + half)
        self._draw.arc(box, 180, 360, fill=colour, width=round(width * SCALE))

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.line(scaled, fill=colour, width=round(width * SCALE), joint="curve")

    def finished(self) -> NDArray[np.uint8]:
        """The picture, 256 by 256 by 3."""
        return np.asarray(self.image.reduce(SCALE))

    @staticmethod
    def _corners(left: float, top: float, right: float, bottom: float) -> list[float]:
        return [left * SCALE, top * SCALE, right * SCALE - 1, bottom * SCALE - 1]
