"""The shipped pipeline follows its prompts; one with random weights does not."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from demo_model.evaluate import PIPELINE, checks, drawn, load, rates
from demo_model.prompts import measured_prompts
from demo_model.training.denoiser import new_denoiser
from demo_model.training.slots import COUNT, Codebook, request_of
from demo_model.training.text_encoder import new_text_encoder

STEPS = 10
COUNT_DRAWN = 24
LEAST = {"sky": 0.95, "ground": 0.95, "colour": 0.9, "position": 0.9, "both colours": 0.8, "kind": 0.75}
"""Hardly below the full check's rates, at half the steps; a dozen pictures for some of them."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return load(PIPELINE)


def draw(pipeline: Any, prompt: str, **settings: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    seed = settings.pop("seed", 3)
    settings = {"num_inference_steps": STEPS, "guidance_scale": 2.0} | settings
    generator = torch.Generator().manual_seed(seed)
    result = pipeline(prompt, generator=generator, output_type="np", **settings)
    return np.asarray((result.images[0] * 255).round(), dtype=np.uint8)


def test_it_loads_as_a_stock_pipeline_in_single_precision(pipeline: Any) -> None:
    assert type(pipeline) is StableDiffusionPipeline
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    assert {part.dtype for part in parts} == {torch.float32}


def test_weights_stay_under_25_megabytes() -> None:
    weights = list(PIPELINE.rglob("*.safetensors"))
    assert len(weights) == 4  # the three of the pipeline, and the small decoder of previews
    assert sum(path.stat().st_size for path in weights) < 25_000_000
    assert not [*PIPELINE.rglob("*.bin"), *PIPELINE.rglob("*.pt"), *PIPELINE.rglob("*.py")]


def test_pictures_follow_their_prompts(pipeline: Any) -> None:
    asked = measured_prompts(COUNT_DRAWN)
    pictures = drawn(pipeline, asked, STEPS, guidance=2.0)
    found = rates(checks(p, one) for p, one in zip(pictures, asked, strict=True))
    assert {name: found[name] >= least for name, least in LEAST.items()} == dict.fromkeys(LEAST, True), found


def test_random_weights_fail_the_same_check(pipeline: Any) -> None:
    torch.manual_seed(0)
    parts = dict(pipeline.components)
    parts["unet"] = new_denoiser()
    parts["text_encoder"] = new_text_encoder(pipeline.tokenizer)
    untrained = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    untrained.set_progress_bar_config(disable=True)
    asked = measured_prompts(8)
    pictures = drawn(untrained, asked, steps=2, guidance=2.0)
    found = rates(checks(p, one) for p, one in zip(pictures, asked, strict=True))
    assert found["colour"] < LEAST["colour"]
    assert found["both colours"] < LEAST["both colours"]
    assert found["sky"] < LEAST["sky"]


def test_the_seed_decides_the_picture(pipeline: Any) -> None:
    prompt = "a red house by day"
    first = draw(pipeline, prompt, num_inference_steps=3)
    assert np.array_equal(first, draw(pipeline, prompt, num_inference_steps=3))
    assert not np.array_equal(first, draw(pipeline, prompt, num_inference_steps=3, seed=4))


def test_guidance_changes_the_picture(pipeline: Any) -> None:
    weak, strong = (draw(pipeline, "a red house", num_inference_steps=3, guidance_scale=scale) for scale in (1.0, 6.0))
    assert difference(weak, strong) > 1


def test_a_negative_prompt_drives_the_picture_away_from_it(pipeline: Any) -> None:
    plain = draw(pipeline, "a tree", negative_prompt="")
    without_night = draw(pipeline, "a tree", negative_prompt="night, sunset, storm")
    assert difference(plain, without_night) > 1


def test_steps_are_reported_one_by_one(pipeline: Any) -> None:
    seen: list[int] = []

    def note(_: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        seen.append(step)
        return values

    draw(pipeline, "a boat", num_inference_steps=3, callback_on_step_end=note)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a red house and a blue tree", "RED HOUSE, and a Blue Tree."),
        ("a castle on a hill at night", "At night: the castle on a hill!"),
        ("a yellow boat on the sea", "a picture of one boat that is yellow on the ocean, 8k"),
    ],
)
def test_other_words_for_the_same_are_read_alike(pipeline: Any, first: str, second: str) -> None:
    assert read(pipeline, first) == read(pipeline, second)


def test_the_spec_example_is_a_city_at_night(pipeline: Any) -> None:
    request = read(pipeline, "A cyberpunk city at night with neon signs and flying cars, highly detailed")
    assert (request.sky, request.backdrop) == ("night", "city")
    assert {thing.kind for thing in request.things} == {"spaceship"}


def read(pipeline: Any, prompt: str) -> Any:
    """What the text encoder understood."""
    tokens = pipeline.tokenizer(prompt, padding="max_length", truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        hidden = pipeline.text_encoder(tokens).last_hidden_state
    return request_of(Codebook().read(hidden[:, -COUNT:])[0].tolist())


def difference(first: Any, second: Any) -> float:
    """Mean absolute difference of two pictures, in levels of 255."""
    return float(np.abs(first.astype(int) - second.astype(int)).mean())
