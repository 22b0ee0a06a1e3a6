"""The chart of latency against size, as an SVG file: flat lines are the point."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 860, 420, 60, 250, 40, 50
_COLOURS = (
    "#1b6ca8",
    "#d1495b",
    "#3a7d44",
    "#8e5572",
    "#c77d1e",
    "#4b4b8f",
    "#2a9d8f",
    "#777777",
    "#a63d40",
    "#555533",
)


def draw(path: Path, series: dict[str, dict[int, float]], title: str) -> None:
    """Both axes are logarithmic. A series is a name and its points (jobs, milliseconds)."""
    points = [point for line in series.values() for point in line.items()]
    if not points:
        return
    sizes = sorted({size for size, _ in points})
    low = math.floor(math.log10(min(value for _, value in points)))
    high = math.ceil(math.log10(max(value for _, value in points)))
    parts = [_text(_LEFT, 22, title, 15), *_grid(sizes, low, high)]
    for place, (name, line) in enumerate(sorted(series.items())):
        parts += _line(name, line, sizes, low, high, place)
    body = "\n".join(parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n',
        encoding="utf-8",
    )


def _x(size: int, sizes: list[int]) -> float:
    span = math.log10(sizes[-1] / sizes[0]) or 1
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log10(size / sizes[0]) / span


def _y(value: float, low: int, high: int) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (math.log10(value) - low) / max(1, high - low)


def _grid(sizes: list[int], low: int, high: int) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for power in range(low, high + 1):
        y = _y(10.0**power, low, high)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(8, y + 4, f"{10.0**power:g} ms", 12))
    for size in sizes:
        x = _x(size, sizes)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(_text(x - 20, bottom + 18, f"{size:,}", 12))
    return [*parts, _text(_LEFT, _HEIGHT - 8, "jobs and images in the data directory", 12)]


def _line(name: str, line: dict[int, float], sizes: list[int], low: int, high: int, place: int) -> list[str]:
    colour = _COLOURS[place % len(_COLOURS)]
    spots = [(_x(size, sizes), _y(value, low, high)) for size, value in sorted(line.items())]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    label = _TOP + 18 * place + 10
    right = _WIDTH - _RIGHT
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in spots]
    parts.append(f'<rect x="{right + 14}" y="{label - 9}" width="12" height="10" fill="{colour}"/>')
    return [*parts, _text(right + 32, label, f"{name}: {line[max(line)]:.2f} ms", 12)]


def _text(x: float, y: float, text: str, size: int) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}">{escape(text)}</text>'
