"""How each kind of thing is drawn, standing at a point, in its colour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from demo_model.training.brush import Brush, Colour, mix, shade

PALETTE: dict[str, Colour] = {
    "red": (214, 36, 40),
    "orange": (246, 128, 24),
    "yellow": (252, 212, 40),
    "green": (18, 122, 70),
    "blue": (34, 78, 206),
    "purple": (122, 52, 182),
    "pink": (246, 124, 182),
    "white": (252, 252, 250),
    "black": (38, 36, 42),
}
GLOW: Colour = (255, 226, 130)
PANE: Colour = (206, 232, 244)
WOOD: Colour = (116, 74, 46)
STEEL: Colour = (70, 74, 84)


@dataclass(frozen=True)
class Spot:
    """Where a thing stands: the middle of its foot, and how tall it is (pixels)."""

    brush: Brush
    x: float
    y: float
    height: float
    colour: Colour
    glass: Colour

    @property
    def dark(self) -> Colour:
        return shade(self.colour, 0.74)

    @property
    def light(self) -> Colour:
        return mix(self.colour, (255, 255, 255), 0.3)

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """A polygon in parts of the height: x from the middle, y up from the foot."""
        h = self.height
        self.brush.polygon([(self.x + px * h, self.y - py * h) for px, py in points], colour)

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour) -> None:
        """A box in parts of the height."""
        h = self.height
        x, y = self.x, self.y
        self.brush.box(x + left * h, y - top * h, x + right * h, y - bottom * h, colour)

    def oval(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """An ellipse in parts of the height."""
        h = self.height
        self.brush.oval(self.x + x * h, self.y - y * h, width * h, height * h, colour)


def house(spot: Spot) -> None:
    spot.box(0.16, 0.62, 0.26, 0.96, WOOD)
    spot.box(-0.34, 0, 0.34, 0.56, spot.colour)
    spot.polygon([(-0.44, 0.54), (0, 1), (0.44, 0.54)], spot.dark)
    spot.box(-0.08, 0, 0.1, 0.3, WOOD)
    for left in (-0.27, 0.16):
        spot.box(left, 0.24, left + 0.13, 0.4, spot.glass)


def tree(spot: Spot) -> None:
    spot.box(-0.06, 0, 0.06, 0.45, WOOD)
    spot.oval(-0.17, 0.5, 0.4, 0.38, spot.dark)
    spot.oval(0.17, 0.5, 0.4, 0.38, spot.dark)
    spot.oval(0, 0.68, 0.62, 0.6, spot.colour)
    spot.oval(-0.1, 0.78, 0.24, 0.2, spot.light)


def castle(spot: Spot) -> None:
    for x in (-0.3, 0.3):
        spot.box(x - 0.11, 0, x + 0.11, 0.66, spot.colour)
        spot.polygon([(x - 0.15, 0.65), (x, 0.96), (x + 0.15, 0.65)], spot.dark)
        spot.box(x - 0.035, 0.42, x + 0.035, 0.54, spot.glass)
    spot.box(-0.2, 0, 0.2, 0.46, spot.colour)
    for left in (-0.2, -0.06, 0.08):
        spot.box(left, 0.45, left + 0.1, 0.54, spot.colour)
    spot.box(-0.19, 0.36, 0.19, 0.4, spot.dark)
    spot.oval(0, 0.2, 0.18, 0.18, WOOD)
    spot.box(-0.09, 0, 0.09, 0.2, WOOD)


def lighthouse(spot: Spot) -> None:
    spot.polygon([(-0.2, 0), (-0.12, 0.72), (0.12, 0.72), (0.2, 0)], spot.colour)
    spot.polygon([(-0.176, 0.22), (-0.156, 0.4), (0.156, 0.4), (0.176, 0.22)], spot.light)
    spot.box(-0.17, 0.71, 0.17, 0.75, STEEL)
    spot.box(-0.09, 0.75, 0.09, 0.88, GLOW)
    spot.polygon([(-0.14, 0.87), (0, 1), (0.14, 0.87)], spot.dark)
    spot.box(-0.05, 0, 0.05, 0.14, WOOD)


def boat(spot: Spot) -> None:
    spot.box(-0.02, 0.2, 0.02, 1, WOOD)
    spot.polygon([(0.05, 0.34), (0.05, 0.98), (0.42, 0.34)], spot.light)
    spot.polygon([(-0.05, 0.34), (-0.05, 0.84), (-0.32, 0.34)], spot.colour)
    spot.polygon([(-0.46, 0.28), (0.46, 0.28), (0.3, 0), (-0.3, 0)], spot.colour)
    spot.polygon([(-0.46, 0.28), (0.46, 0.28), (0.43, 0.22), (-0.43, 0.22)], spot.dark)


def flower(spot: Spot) -> None:
    stem: Colour = (64, 140, 52)
    spot.box(-0.03, 0, 0.03, 0.6, stem)
    spot.oval(-0.13, 0.18, 0.24, 0.12, stem)
    spot.oval(0.13, 0.26, 0.24, 0.12, stem)
    for x, y in ((-0.2, 0.72), (0.2, 0.72), (0, 0.89), (-0.12, 0.55), (0.12, 0.55)):
        spot.oval(x, y, 0.3, 0.3, spot.colour)
    spot.oval(0, 0.7, 0.2, 0.2, shade(GLOW, 0.92))


def car(spot: Spot) -> None:
    spot.polygon([(-0.34, 0.4), (-0.2, 0.68), (0.2, 0.68), (0.36, 0.4)], spot.dark)
    spot.polygon([(-0.25, 0.42), (-0.16, 0.61), (-0.02, 0.61), (-0.02, 0.42)], spot.glass)
    spot.polygon([(0.04, 0.42), (0.04, 0.61), (0.16, 0.61), (0.26, 0.42)], spot.glass)
    spot.box(-0.5, 0.12, 0.5, 0.42, spot.colour)
    spot.box(0.43, 0.26, 0.5, 0.36, GLOW)
    for x in (-0.28, 0.28):
        spot.oval(x, 0.12, 0.24, 0.24, STEEL)
        spot.oval(x, 0.12, 0.11, 0.11, (200, 204, 210))


def balloon(spot: Spot) -> None:
    spot.polygon([(-0.26, 0.5), (-0.09, 0.2), (0.09, 0.2), (0.26, 0.5)], spot.dark)
    spot.oval(0, 0.66, 0.66, 0.68, spot.colour)
    spot.oval(0, 0.66, 0.26, 0.68, spot.light)
    spot.box(-0.09, 0, 0.09, 0.14, WOOD)
    spot.box(-0.09, 0.14, -0.07, 0.22, WOOD)
    spot.box(0.07, 0.14, 0.09, 0.22, WOOD)


def spaceship(spot: Spot) -> None:
    spot.polygon([(-0.2, 0.36), (0.2, 0.36), (0.32, 0), (-0.32, 0)], GLOW)
    spot.oval(0, 0.62, 0.46, 0.5, spot.glass)
    spot.oval(0, 0.48, 1.0, 0.34, spot.colour)
    spot.oval(0, 0.4, 0.66, 0.14, spot.dark)
    for x in (-0.32, 0, 0.32):
        spot.oval(x, 0.5, 0.09, 0.09, GLOW)


def cat(spot: Spot) -> None:
    spot.polygon([(0.2, 0), (0.44, 0.1), (0.46, 0.5), (0.36, 0.5), (0.34, 0.16), (0.2, 0.12)], spot.dark)
    spot.oval(0, 0.26, 0.54, 0.54, spot.colour)
    spot.polygon([(-0.27, 0.66), (-0.24, 1), (-0.02, 0.82)], spot.dark)
    spot.polygon([(0.27, 0.66), (0.24, 1), (0.02, 0.82)], spot.dark)
    spot.oval(0, 0.66, 0.56, 0.46, spot.colour)
    for x in (-0.12, 0.12):
        spot.oval(x, 0.69, 0.11, 0.13, (240, 240, 200))
        spot.oval(x, 0.69, 0.05, 0.11, (30, 30, 30))
    spot.oval(0, 0.58, 0.08, 0.06, (236, 130, 140))


DRAWERS: dict[str, Callable[[Spot], None]] = {
    "house": house,
    "tree": tree,
    "castle": castle,
    "lighthouse": lighthouse,
    "boat": boat,
    "flower": flower,
    "car": car,
    "balloon": balloon,
    "spaceship": spaceship,
    "cat": cat,
}
