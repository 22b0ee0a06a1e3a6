"""What previews may cost: within a picture ahead of its steps, over a job never more than the share."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.local import previews as subject
from engine.local.preview_budget import CPU_SHARE, Budget
from engine.local.preview_decoders import Geometry
from engine.local.previews import Previews, TaskPreviews


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def spend(budget: Budget, clock: Clock, seconds: float, *, times: int = 1) -> None:
    for _ in range(times):
        with budget.spending("show"):
            clock.now += seconds


def test_a_preview_may_come_before_it_is_earned_but_not_beyond_its_picture() -> None:
    clock = Clock()
    budget = Budget(0.1, clock)
    spend(budget, clock, 0.02, times=2)
    assert budget.times("show", ahead=0.39) == 0
    assert budget.times("show", ahead=0.41) == 1
    assert budget.times("show", ahead=1.01) == 4
    budget.earn(0.61)
    assert budget.times("show") == 2


def test_what_was_never_tried_may_be_tried_once_unless_there_is_a_debt() -> None:
    clock = Clock()
    budget = Budget(0.1, clock)
    assert budget.times("show") == 1
    spend(budget, clock, 1.0)
    assert budget.times("another") == 1  # finding out makes no debt
    spend(budget, clock, 1.0)
    assert budget.times("another") == 0
    budget.earn(10.1)
    assert budget.times("another") == 1


def test_debts_outlive_a_job_and_savings_do_not() -> None:
    clock = Clock()
    budget = Budget(0.1, clock)
    spend(budget, clock, 0.1, times=2)
    budget.begin_job()
    assert budget.times("show", ahead=1.9) == 0
    budget.earn(3.1)
    assert budget.times("show") == 2
    budget.begin_job()
    assert budget.times("show") == 0


def test_what_was_dear_once_is_tried_again_some_day() -> None:
    clock = Clock()
    budget = Budget(0.1, clock)
    spend(budget, clock, 5.0, times=2)
    budget.earn(50.1)
    budget.begin_job()
    pictures = 0
    while not budget.times("show", ahead=5.0):
        budget.pass_over("show")
        pictures += 1
        assert pictures < 100
    assert pictures > 5


class Simulated:
    """Jobs of a worker whose steps and previews take as long as they are said to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, step: float, costs: dict[str, float]) -> None:
        self.clock = Clock()
        self.budget = Budget(CPU_SHARE, self.clock)
        self.previews = Previews(folder / "previews", folder, self.budget, interval=0)
        self.step = step
        self.shown: list[tuple[int, int, str]] = []
        fakes = [self._decoder(kind, cost) for kind, cost in costs.items()]
        monkeypatch.setattr(subject, "decoders", lambda *_: iter(fakes))

    def _decoder(self, kind: str, cost: float) -> Any:
        def draw(_: torch.Tensor) -> Image.Image:
            self.clock.now += cost
            self.latest = kind
            return Image.new("RGB", (8, 8))

        return SimpleNamespace(kind=kind, needs_no_map=True, draw=draw)

    def job(self, images: int, steps: int) -> None:
        loaded, watch = SimpleNamespace(model="model"), SimpleNamespace(estimate=lambda: torch.zeros(1, 4, 2, 2))
        place = [0, 0]
        task = TaskPreviews(
            self.previews,
            loaded,  # type: ignore[arg-type]
            watch,  # type: ignore[arg-type]
            Geometry(16, 16),
            steps,
            lambda _: self.shown.append((place[0], place[1], self.latest)),
        )
        for place[0] in range(images):
            for place[1] in range(1, steps + 1):
                self.clock.now += self.step
                task.after_step(place[1], torch.zeros(1, 4, 2, 2))
            self.clock.now += 1.0  # decoding and saving
            task.after_picture(Image.new("RGB", (16, 16)))


@settings(max_examples=25)
@given(
    steps=st.integers(4, 100),
    images=st.integers(1, 8),
    step=st.floats(0.01, 5.0),
    cost=st.floats(0.001, 3.0),
    jobs=st.integers(1, 4),
)
def test_previews_take_no_more_than_their_share(
    tmp_path_factory: pytest.TempPathFactory, steps: int, images: int, step: float, cost: float, jobs: int
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        simulated = Simulated(tmp_path_factory.mktemp("previews"), monkeypatch, step, {"decoder": cost})
        for _ in range(jobs):
            simulated.job(images, steps)
        budget = simulated.budget
        # What a decoder costs is found out by using it: once for nothing, once more to know it well.
        assert budget.spent <= CPU_SHARE * jobs * images * steps * step + 2 * cost + 1e-6
        if cost <= CPU_SHARE * (steps - 2) * step:
            first = [min(step for image, step, _ in simulated.shown if image == number) for number in range(images)]
            assert max(first) <= max(2, -(-steps // 10))


def test_further_previews_are_spread_over_the_steps_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = Simulated(tmp_path, monkeypatch, 0.1, {"decoder": 0.19})
    simulated.job(8, 80)
    assert [step for image, step, _ in simulated.shown if image == 7] == [8, 26, 44, 62]
    assert simulated.budget.spent <= CPU_SHARE * simulated.budget.worked


def kinds_of(simulated: Simulated, image: int) -> list[str]:
    return [kind for number, _, kind in simulated.shown if number == image]


def test_a_cheaper_decoder_takes_over_from_one_that_is_too_dear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = Simulated(tmp_path, monkeypatch, 0.1, {"dear": 2.0, "cheap": 0.01})
    simulated.job(5, 20)
    assert "dear" in kinds_of(simulated, 0)  # to know what it costs
    assert set(kinds_of(simulated, 4)) == {"cheap"}
    assert len(kinds_of(simulated, 4)) > 5


def test_what_there_is_time_for_once_comes_in_the_middle_and_nothing_worse_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = Simulated(tmp_path, monkeypatch, 0.1, {"dear": 0.15, "cheap": 0.004})
    simulated.job(6, 20)
    for image in range(6):
        kinds = kinds_of(simulated, image)
        assert kinds[0] == "cheap"
        after = kinds[kinds.index("dear") :] if "dear" in kinds else []
        assert set(after) <= {"dear"}
        steps = [step for number, step, _ in simulated.shown if number == image]
        assert steps[0] == 2
        assert not after or steps[-len(after)] >= 10
    assert sum("dear" in kinds_of(simulated, image) for image in range(6)) >= 4
    assert simulated.budget.spent <= CPU_SHARE * 6 * 20 * 0.1 + 0.15


def test_two_previews_of_an_image_are_never_closer_than_the_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = Simulated(tmp_path, monkeypatch, 0.1, {"decoder": 0.001})
    simulated.previews.interval = 0.45
    simulated.job(2, 20)
    assert [step for image, step, _ in simulated.shown if image == 1] == [2, 7, 12, 17]
