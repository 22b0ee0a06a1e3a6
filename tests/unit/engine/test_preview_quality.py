"""How much a preview tells of the finished picture: the demo model, for four families of schedulers.

`python -m pytest -m long -s tests/unit/engine/test_preview_quality.py` prints the table of docs/performance.md.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from engine.contract import DrawTask
from engine.local.devices import choose
from engine.local.engine import LocalEngine
from engine.local.pipelines import Pipelines
from engine.local.preview_budget import Budget
from engine.local.previews import Previews
from jobs.catalog import Catalog
from jobs.schema import EffectiveSettings
from tests.programs import REPOSITORY

PROMPTS = (
    "a red house and a green tree at sunset",
    "a lighthouse by the sea at night",
    "a black cat on snow, mountains",
    "a spaceship over a city in a storm",
    "a yellow boat on the sea",
    "two white houses in the desert",
)


class FlowOfDemo(diffusers.FlowMatchEulerDiscreteScheduler):  # type: ignore[misc]
    """Flow matching as the pipeline of the demo model expects a scheduler to be."""

    init_noise_sigma = 1.0

    def scale_model_input(self, sample: torch.Tensor, _timestep: Any) -> torch.Tensor:
        return sample


def multistep(pipeline: Any) -> None:
    """As it is: DPM-Solver++."""


def ddim(pipeline: Any) -> None:
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)


def heun(pipeline: Any) -> None:
    pipeline.scheduler = diffusers.HeunDiscreteScheduler.from_config(pipeline.scheduler.config)


def flow_matching(pipeline: Any) -> None:
    """The denoiser as one of flow matching: the same prediction, from a sample on the straight way to the noise."""
    alphas = pipeline.scheduler.alphas_cumprod
    ratios = ((1 - alphas) / alphas).sqrt()
    pipeline.scheduler = FlowOfDemo(shift=3.0)
    denoise = pipeline.unet.forward

    def velocity(sample: torch.Tensor, timestep: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        sigma = timestep.float() / 1000
        step = int(torch.searchsorted(ratios, sigma / (1 - sigma).clamp(min=1e-6)).clamp(max=999))
        scaled = sample / ((1 - sigma) ** 2 + sigma**2).sqrt()
        data = denoise(scaled, step, *arguments, **named)[0]
        return ((sample - data) / sigma,)

    pipeline.unet.forward = velocity


FAMILIES = {"DPM-Solver++": multistep, "DDIM": ddim, "Heun": heun, "flow matching (Euler)": flow_matching}


class Listener:
    """Keeps each preview with its image and step."""

    def __init__(self) -> None:
        self.previews: list[tuple[int, int, Image.Image]] = []
        self._place = (0, 0)

    @contextmanager
    def loading(self, _model: str) -> Iterator[None]:
        yield

    def loaded(self, *_: Any) -> None: ...

    def warming_up(self, _model: str) -> None: ...

    def drawing(self) -> None: ...

    def warned(self, _sentence: str) -> None: ...

    def check_interrupts(self) -> None: ...

    def step(self, index: int, step: int, steps: int) -> None:
        self._place = (index, step)

    def preview(self, webp: bytes) -> None:
        with Image.open(io.BytesIO(webp)) as picture:
            self.previews.append((*self._place, picture.convert("RGB")))


def likeness(one: Any, other: Any) -> float:
    """PSNR of two pictures in decibels."""
    return float(10 * np.log10(255**2 / max(1e-6, np.square(one - other).mean())))


def measured(folder: Path, family: str, prompts: tuple[str, ...], steps: int) -> tuple[dict[int, float], float]:
    """The mean likeness to the finished picture of the previews after each step, and of a flat mean colour."""
    device, catalog = choose("cpu"), Catalog.load(REPOSITORY / "models.toml", folder)
    pipelines = Pipelines(catalog, device)
    FAMILIES[family](pipelines.load("demo", 256 * 256).pipeline)
    engine = LocalEngine(catalog, device, pipelines, Previews(folder / "previews", folder, Budget(1e9), interval=0))
    found: dict[int, list[float]] = {}
    flat = []
    for seed, prompt in enumerate(prompts):
        settings = EffectiveSettings(
            num_images=1,
            num_inference_steps=steps,
            guidance_scale=2.0,
            height=256,
            width=256,
            max_sequence_length=128,
            seed=seed,
        )
        task = DrawTask(model="demo", prompt=prompt, negative_prompt=None, settings=settings, seeds=(seed,))
        listener = Listener()
        (image,) = engine.draw(task, listener)
        finished = np.asarray(image.image.convert("RGB")).astype(float)
        flat.append(likeness(finished, finished.mean((0, 1))))
        for _, step, preview in listener.previews:
            whole = preview.resize(image.image.size, Image.Resampling.BILINEAR)
            found.setdefault(step, []).append(likeness(finished, np.asarray(whole).astype(float)))
    return {step: mean(values) for step, values in found.items()}, mean(flat)


def check(found: dict[int, float], flat: float, steps: int, gain: float) -> None:
    """A preview is never less like the picture than its mean colour is, and they get better to the end."""
    assert min(found) <= max(2, steps // 10)
    assert max(found) == steps - 1
    values = list(found.values())
    assert min(values) > flat
    assert all(later > earlier - 0.1 for earlier, later in pairwise(values)), values
    assert values[-1] > values[0] + gain


def show(name: str, found: dict[int, float], flat: float) -> None:
    values = " | ".join(f"{found[step]:.1f}" for step in (2, 4, 6, 10, 14, 19))
    print(f"\n| {name} | {flat:.1f} | {values} |")


@pytest.fixture
def small_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the model's own decoder took too much time."""
    monkeypatch.setattr("engine.local.preview_decoders._is_at_hand", lambda *_: False)


def test_previews_get_better_and_the_first_one_beats_a_flat_colour(tmp_path: Path) -> None:
    found, flat = measured(tmp_path, "DPM-Solver++", PROMPTS[:2], 6)
    check(found, flat, 6, gain=3)


@pytest.mark.usefixtures("small_decoder")
def test_so_they_do_by_the_small_decoder(tmp_path: Path) -> None:
    found, flat = measured(tmp_path, "DPM-Solver++", PROMPTS[:2], 10)
    check(found, flat, 10, gain=1)


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_previews_get_better_with_every_family_of_schedulers(tmp_path: Path, family: str) -> None:
    found, flat = measured(tmp_path, family, PROMPTS, 20)
    show(family, found, flat)
    check(found, flat, 20, gain=3)


@pytest.mark.long
@pytest.mark.usefixtures("small_decoder")
def test_the_small_decoder_with_every_prompt(tmp_path: Path) -> None:
    found, flat = measured(tmp_path, "DPM-Solver++", PROMPTS, 20)
    show("DPM-Solver++, by the small decoder", found, flat)
    check(found, flat, 20, gain=1)
