"""The meeting point of words and pictures: a few fixed vectors for what a prompt asks.

The last positions of the text encoder's output are slots: sky, celestial body, ground,
backdrop, and the things left, in the middle and right. The text encoder learns to write
into each slot the vector that :meth:`Codebook.codes` gives; the denoiser learns to draw from
what the trained encoder writes there. So words and pictures are learned apart, and both learn quickly.
"""

from __future__ import annotations

import torch
from torch import Tensor

from demo_model.training.scene import (
    ANY,
    BACKDROPS,
    CELESTIALS,
    COLOURS,
    GROUNDS,
    KINDS,
    NOTHING,
    PLACES,
    SIZES,
    SKIES,
    Request,
    Thing,
)

WIDTH = 128
LENGTH = 128
"""Positions of the text encoder, in tokens."""

_THING: tuple[tuple[str, ...], ...] = ((ANY, NOTHING, *KINDS), (ANY, *COLOURS), (ANY, *SIZES))
SLOTS: tuple[tuple[tuple[str, ...], ...], ...] = (
    ((ANY, *SKIES),),
    ((ANY, *CELESTIALS),),
    ((ANY, *GROUNDS),),
    ((ANY, *BACKDROPS),),
    *(_THING for _ in PLACES),
)
"""For each slot its features, for each feature its values."""

FEATURES = tuple(values for slot in SLOTS for values in slot)
COUNT = len(SLOTS)


def indices(request: Request) -> list[int]:
    """The request as one number for each of :data:`FEATURES`."""
    values = [request.sky, request.celestial, request.ground, request.backdrop]
    for thing in request.things:
        values += [thing.kind, thing.colour, thing.size]
    return [known.index(value) for known, value in zip(FEATURES, values, strict=True)]


def request_of(numbers: list[int]) -> Request:
    """The inverse of :func:`indices`."""
    values = [known[number] for known, number in zip(FEATURES, numbers, strict=True)]
    things = [Thing(*values[i : i + 3]) for i in (4, 7, 10)]
    sky, celestial, ground, backdrop = values[:4]
    return Request(sky, celestial, ground, backdrop, (things[0], things[1], things[2]))


class Codebook:
    """Random but fixed vectors: one for each slot, one for each value of each feature."""

    def __init__(self, seed: int = 7) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.plain = _standard(torch.randn(WIDTH, generator=generator))
        """What every position that is no slot says."""
        self._places = torch.randn(COUNT, WIDTH, generator=generator)
        shared = [torch.randn(len(values), WIDTH, generator=generator) for values in _THING]
        scene = [torch.randn(len(s[0]), WIDTH, generator=generator) for s in SLOTS[:4]]
        self.values = [*scene, *shared, *shared, *shared]
        """For each of :data:`FEATURES`, one vector for each value."""

    def codes(self, asked: Tensor) -> Tensor:
        """Slot vectors (count, slots, width) of feature numbers (count, features)."""
        slots, feature = [], 0
        for slot, features in enumerate(SLOTS):
            total = self._places[slot].expand(len(asked), WIDTH)
            for _ in features:
                total = total + self.values[feature][asked[:, feature]]
                feature += 1
            slots.append(_standard(total))
        return torch.stack(slots, dim=1)

    def read(self, slots: Tensor) -> Tensor:
        """The feature numbers (count, features) that slot vectors come closest to."""
        numbers, feature = [], 0
        for slot, features in enumerate(SLOTS):
            grids = torch.cartesian_prod(*(torch.arange(len(f)) for f in features))
            grids = grids.reshape(len(grids), -1)
            wanted = self._places[slot] + sum(self.values[feature + i][grids[:, i]] for i in range(len(features)))
            nearest = torch.cdist(slots[:, slot].float(), _standard(wanted)).argmin(1)
            numbers.append(grids[nearest])
            feature += len(features)
        return torch.cat(numbers, dim=1)


def _standard(vectors: Tensor) -> Tensor:
    """Mean 0 and deviation 1, as a layer norm gives."""
    return torch.nn.functional.layer_norm(vectors, (WIDTH,))
