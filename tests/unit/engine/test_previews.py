"""Previews: what is learned from finished pictures, and what it may cost."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image, ImageChops, ImageStat

from engine.local.latent_map import LatentMap, Shape, cells_of, shape_of
from engine.local.previews import Budget, Previews, TaskPreviews
from jobs.claims import Claim
from jobs.schema import State
from tests.unit.conftest import Bench


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


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


def test_the_budget_is_a_share_of_the_work_and_debts_are_paid_first() -> None:
    clock = Clock()
    budget = Budget(0.02, clock)
    assert not budget.allows("show")
    budget.worked = 1.0
    assert budget.allows("show")
    with budget.spending("show"):
        clock.now += 0.05
    assert not budget.allows("show")
    budget.worked = 4.9
    assert not budget.allows("show")
    budget.worked = 5.0
    assert budget.allows("show")


def test_previews_take_two_per_cent_of_the_steps_at_most(tmp_path: Path) -> None:
    clock, cost = Clock(), 0.004
    budget = Budget(monotonic=clock)
    previews = Previews(tmp_path / "previews", tmp_path, budget, interval=0)
    cells = torch.randn(8, 8, 4)
    previews.map("model", Shape(4, 8)).learn(cells, picture_of(cells, 8))
    settings = SimpleNamespace(width=64, height=64, num_inference_steps=1000)

    def show(_: bytes) -> None:
        clock.now += cost

    job = TaskPreviews(previews, SimpleNamespace(model="model", settings=settings), show)  # type: ignore[arg-type]
    for step in range(1, 1001):
        clock.now += 0.01
        job.after_step(step, torch.randn(1, 4, 8, 8))
    assert budget.worked == pytest.approx(9.99)
    assert 0.02 * budget.worked - cost < budget.spent <= 0.02 * budget.worked


@pytest.fixture
def shown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The previews of a bench whose previews may take all the time they like."""
    seen: list[bytes] = []
    show = Claim.show
    monkeypatch.setattr(Claim, "show", lambda claim, webp: (seen.append(webp), show(claim, webp)))
    bench.use_previews(unlimited(bench))
    return seen


def unlimited(bench: Bench) -> Previews:
    budget = Budget(1e9)
    budget.worked = 1.0
    return Previews(bench.harness.spool.layout.latent_maps, bench.harness.spool.layout.temporary, budget, interval=0)


@pytest.mark.parametrize("model", ["tiny-sd", "tiny-sd3", "tiny-flux"])
def test_the_second_picture_of_a_model_has_previews(bench: Bench, shown: list[bytes], model: str) -> None:
    job = bench.harness.submit(model=model, num_images=2, num_inference_steps=4, width=64, height=32)
    bench.run(job)
    assert bench.harness.state(job) is State.COMPLETED
    assert len(shown) == 4
    with Image.open(io.BytesIO(shown[-1])) as preview:
        assert preview.format == "WEBP"
        assert preview.width == 2 * preview.height
    assert bench.harness.spool.preview(job.id) is None


def test_what_was_learned_outlives_the_worker(bench: Bench, shown: list[bytes]) -> None:
    bench.run(bench.harness.submit())
    assert shown == []
    bench.use_previews(unlimited(bench))
    bench.run(bench.harness.submit())
    assert len(shown) == 3


def test_a_damaged_map_is_learned_again(bench: Bench, shown: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    bench.run(bench.harness.submit())
    (path,) = (bench.harness.data / "previews").iterdir()
    path.write_bytes(b"rubbish")
    bench.use_previews(unlimited(bench))
    bench.run(bench.harness.submit(num_images=2))
    assert len(shown) == 3
    assert "learned again" in caplog.text


def test_a_disk_that_refuses_previews_costs_nothing_else(
    bench: Bench, shown: list[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Claim, "show", refuse)
    job = bench.harness.submit(num_images=2)
    with caplog.at_level(logging.WARNING):
        bench.run(job)
    assert bench.harness.state(job) is State.COMPLETED
    assert caplog.text.count("A preview could not be written") == 1


def test_previews_can_be_switched_off(bench: Bench, shown: list[bytes]) -> None:
    bench.use_previews(None)
    bench.run(bench.harness.submit(num_images=2))
    assert shown == []
    assert list((bench.harness.data / "previews").iterdir()) == []


def test_pictures_are_the_same_with_and_without(bench: Bench, shown: list[bytes]) -> None:
    first = bench.harness.submit(seed=5, num_images=2)
    bench.run(first)
    bench.use_previews(None)
    second = bench.harness.submit(seed=5, num_images=2)
    bench.run(second)
    pixels = [
        [Image.open(bench.harness.store.path(image.id)).tobytes() for image in bench.harness.images_of(job)]
        for job in (first, second)
    ]
    assert pixels[0] == pixels[1]
