"""What is learned from finished pictures about a model's latents."""

from __future__ import annotations

import pytest
import torch
from PIL import Image, ImageChops, ImageStat

from engine.local.latent_map import LatentMap, Shape, cells_of, shape_of


def picture_of(cells: torch.Tensor, pixels: int = 16) -> Image.Image:
    """What an imaginary decoder makes of latents: colours that are sums of their numbers."""
    mix = torch.tensor([[0.2, -0.1, 0.0, 0.1], [0.0, 0.2, 0.1, -0.1], [-0.1, 0.0, 0.2, 0.1]])
    colours = ((cells @ mix.T + 0.5).clamp(0, 1) * 255).to(torch.uint8)
    small = Image.fromarray(colours.numpy())
    return small.resize((small.width * pixels, small.height * pixels), Image.Resampling.NEAREST)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures of one size, from 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


@pytest.mark.parametrize(
    ("shape", "width", "height", "cells"),
    [
        ((2, 4, 12, 8), 64, 96, (12, 8, 4)),  # a map of channels
        ((2, 4, 1, 12, 8), 64, 96, (12, 8, 4)),  # with a time axis
        ((2, 96, 64), 64, 96, (12, 8, 64)),  # tokens
        ((2, 4096, 64), 1024, 1024, (64, 64, 64)),
    ],
)
def test_latents_are_found_in_every_layout(
    shape: tuple[int, ...], width: int, height: int, cells: tuple[int, ...]
) -> None:
    found = cells_of(torch.zeros(shape), width, height)
    assert found is not None
    assert found.shape == cells


def test_tokens_are_read_line_by_line() -> None:
    tokens = torch.arange(6.0).view(1, 6, 1)
    found = cells_of(tokens, 48, 32)
    assert found is not None
    assert found[..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("shape", [(1, 7), (1, 3, 2, 8, 8), (1, 7, 64)])
def test_latents_that_nobody_understands_give_no_preview(shape: tuple[int, ...]) -> None:
    assert cells_of(torch.zeros(shape), 64, 96) is None


def test_a_preview_is_never_larger_than_needed() -> None:
    assert shape_of(torch.zeros(128, 128, 16), 1024) == Shape(16, 2)
    assert shape_of(torch.zeros(16, 16, 30), 256) == Shape(30, 8)
    assert shape_of(torch.zeros(300, 300, 4), 2400) == Shape(4, 1)


def test_what_latents_look_like_is_learned_from_one_picture() -> None:
    torch.manual_seed(1)
    seen, unseen = torch.randn(16, 16, 4), torch.randn(16, 16, 4)
    learner = LatentMap(Shape(4, 8))
    assert learner.learn(seen, picture_of(seen))
    drawn = learner.draw(unseen)
    assert drawn.size == (128, 128)
    assert difference(drawn, picture_of(unseen, 8)) < 4
    assert difference(drawn, picture_of(seen, 8)) > 20


def test_a_map_that_no_longer_fits_is_learned_anew() -> None:
    torch.manual_seed(2)
    learner = LatentMap(Shape(4, 2))
    for _ in range(20):
        cells = torch.randn(16, 16, 4)
        learner.learn(cells, picture_of(-cells))
    assert learner.samples == 12
    cells = torch.randn(16, 16, 4)
    assert learner.learn(cells, picture_of(cells))
    assert difference(learner.draw(cells), picture_of(cells, 2)) < 4


def test_broken_numbers_make_a_picture_all_the_same() -> None:
    learner = LatentMap(Shape(4, 2))
    cells = torch.randn(4, 4, 4)
    learner.learn(cells, picture_of(cells))
    assert learner.draw(torch.full((4, 4, 4), float("nan"))).size == (8, 8)
