"""What every engine keeps of the contract, the stub and the real one alike. A new engine is added to ENGINES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.contract import DrawnImage, DrawTask, Engine
from engine.local.devices import choose
from engine.local.engine import LocalEngine
from engine.local.pipelines import Pipelines
from engine.local.preview_budget import CPU_SHARE, Budget
from engine.local.previews import Previews
from engine.stub import StubEngine
from jobs.schema import EffectiveSettings
from tests.runner_harness import RunnerHarness


class Interrupted(Exception):
    """What the listener raises to end a task."""


class Listener:
    """Remembers what it is told, in order."""

    def __init__(self, interrupt_at: tuple[int, int] | None = None) -> None:
        self.told: list[Any] = []
        self._interrupt_at = interrupt_at

    @contextmanager
    def loading(self, model: str) -> Iterator[None]:
        self.told.append(("loading", model))
        yield

    def loaded(self, model: str, seconds: float, plan: dict[str, Any], models: list[str]) -> None:
        assert seconds >= 0
        assert model in models
        self.told.append(("loaded", model))

    def warming_up(self, model: str) -> None:
        self.told.append(("warming up", model))

    def drawing(self) -> None:
        self.told.append("drawing")

    def warned(self, sentence: str) -> None:
        self.told.append(("warned", sentence))

    def step(self, index: int, step: int, steps: int) -> None:
        assert 1 <= step <= steps
        self.told.append((index, step))

    def preview(self, webp: bytes) -> None:
        assert webp.startswith(b"RIFF")

    def check_interrupts(self) -> None:
        if self.told[-1] == self._interrupt_at:
            raise Interrupted


def local(harness: RunnerHarness) -> Engine:
    """The engine of this process, with the tiny pipelines."""
    device, layout = choose("cpu"), harness.spool.layout
    previews = Previews(layout.latent_maps, layout.temporary, Budget(CPU_SHARE))
    return LocalEngine(harness.catalog, device, Pipelines(harness.catalog, device), previews)


def stub(harness: RunnerHarness) -> Engine:
    """The engine of the tests."""
    return StubEngine("cpu", harness.spool.layout.cache / "stub")


ENGINES = [stub, local]
Make = Callable[[RunnerHarness], Engine]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, harness: RunnerHarness) -> Engine:
    make: Make = request.param
    return make(harness)


def task(**changes: Any) -> DrawTask:
    settings = EffectiveSettings(
        num_images=2,
        num_inference_steps=2,
        guidance_scale=3.0,
        height=24,
        width=32,
        max_sequence_length=16,
        seed=7,
    )
    options = {"model": "tiny-sd", "prompt": "a castle", "negative_prompt": None, "settings": settings, "seeds": (7, 8)}
    return DrawTask(**(options | changes))


def draw(engine: Engine, asked: DrawTask, listener: Listener | None = None) -> list[DrawnImage]:
    return list(engine.draw(asked, listener or Listener()))


def test_images_come_in_order_in_the_size_asked_for(engine: Engine) -> None:
    images = draw(engine, task())
    assert [image.seed for image in images] == [7, 8]
    assert [image.image.size for image in images] == [(32, 24)] * 2
    assert all(image.made_with.device == engine.device_name for image in images)
    assert all(image.duration_seconds >= 0 for image in images)


def test_a_seed_alone_decides_its_image(engine: Engine) -> None:
    pair, alone = draw(engine, task()), draw(engine, task(seeds=(8,)))
    assert alone[0].image.tobytes() == pair[1].image.tobytes() != pair[0].image.tobytes()


def test_the_listener_hears_of_the_load_once_and_of_every_step(engine: Engine) -> None:
    first, second = Listener(), Listener()
    draw(engine, task(), first)
    draw(engine, task(), second)
    assert first.told == [("loading", "tiny-sd"), ("loaded", "tiny-sd"), *second.told]
    assert second.told == ["drawing", (0, 1), (0, 2), (1, 1), (1, 2)]


def test_an_interrupt_ends_the_task_at_its_step_and_the_next_one_is_whole(engine: Engine) -> None:
    listener = Listener(interrupt_at=(1, 1))
    images: list[DrawnImage] = []
    with pytest.raises(Interrupted):
        images.extend(engine.draw(task(), listener))
    assert listener.told[-1] == (1, 1)
    assert len(draw(engine, task())) == 2
    assert engine.why_replace() is None


def test_the_stub_needs_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import sys, engine.stub, runner.worker; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
