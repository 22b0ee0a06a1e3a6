"""Noise schedules by name: every name of a family draws, no other one would, and none stays for the next request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from PIL import Image

from engine.local.engine import LocalEngine
from engine.local.generation import scheduler_name, scheduler_options
from engine.local.variants import scheduled
from jobs import abilities, schedulers
from outputs.a1111 import sampler
from tests.unit.engine.test_from_pictures import FAMILIES, draw, engine, from_picture, loaded, masked, task, weights

__all__ = ["engine", "weights"]

#: What the names mean elsewhere, so that a reader of a picture can choose the same.
KNOWN: Final = {
    "sd": {"ddim": "DDIM", "dpm++ 2m karras": "DPM++ 2M Karras", "dpm++ 2m sde": "DPM++ 2M SDE", "euler a": "Euler a"},
    "flux": {"euler": "Euler", "unipc": "UniPC", "dpm++ 2m": "DPM++ 2M", "euler beta": "Euler"},
    "sd3": {"heun": "Heun", "euler karras": "Euler Karras"},
}


def names_of(weights: Path, model: str, *, has_picture: bool) -> tuple[str, ...]:
    found = abilities.of_pipeline(abilities.pipeline_of(weights / model))
    return found.schedulers_for(has_picture=has_picture)


def is_picture(image: Image.Image) -> bool:
    low, high = image.convert("L").getextrema()
    return low != high


def some(*quick: str) -> list[Any]:
    """All families; those that take the others' place only in the long form."""
    marks = {key: () if key in quick else (pytest.mark.long,) for key in FAMILIES}
    return [pytest.param(key, marks=marks[key]) for key in FAMILIES]


@pytest.mark.parametrize("model", some("flux", "sd3"))
def test_every_name_draws_from_words_each_another_picture(engine: LocalEngine, weights: Path, model: str) -> None:
    if model == "flux-fill":
        return  # it needs a picture
    pictures = {}
    for name in names_of(weights, model, has_picture=False):
        (pictures[name],) = draw(engine, task(model, scheduler=name))
        assert is_picture(pictures[name]), name
    assert len({picture.tobytes() for picture in pictures.values()}) > len(pictures) // 2


@pytest.mark.parametrize("model", some("sd3", "flux-fill"))
def test_every_name_for_pictures_draws_from_one(engine: LocalEngine, weights: Path, model: str) -> None:
    for name in names_of(weights, model, has_picture=True):
        (picture,) = draw(engine, masked(model, scheduler=name))
        assert is_picture(picture), name
        if model != "flux-fill":
            assert is_picture(draw(engine, from_picture(model, scheduler=name))[0]), name


def others() -> Iterator[tuple[str, str]]:
    """The schedules of flow that are in no list, or in none for pictures."""
    yield from (("flux", "heun"), ("qwen-image", "heun"), ("qwen-image", "dpm++ 2m"))


@pytest.mark.parametrize(("model", "name"), list(others()))
def test_what_is_in_no_list_does_not_work(engine: LocalEngine, weights: Path, model: str, name: str) -> None:
    assert name not in names_of(weights, model, has_picture=False)
    with pytest.raises((ValueError, AttributeError)):
        draw(engine, task(model, scheduler=name))


@pytest.mark.parametrize("model", ["flux", "sd3", "qwen-image"])
def test_what_draws_from_words_only_does_not_from_a_picture(engine: LocalEngine, weights: Path, model: str) -> None:
    words, picture = (set(names_of(weights, model, has_picture=has)) for has in (False, True))
    for name in words - picture:
        with pytest.raises((ValueError, AttributeError)):
            draw(engine, from_picture(model, scheduler=name))


def test_every_plain_name_draws_from_a_picture(engine: LocalEngine, weights: Path) -> None:
    """As the long form does for each family; here with a word for how the noise falls only now and then."""
    names = names_of(weights, "sd", has_picture=True)
    for name in [*names[:7], *names[7::4]]:
        assert is_picture(draw(engine, from_picture("sd", scheduler=name))[0]), name


def test_a_schedule_does_not_stay(engine: LocalEngine) -> None:
    for ask in (task, from_picture, masked):
        before = draw(engine, ask("sd"))[0].tobytes()
        other = draw(engine, ask("sd", scheduler="dpm++ 2m karras"))[0].tobytes()
        assert draw(engine, ask("sd"))[0].tobytes() == before != other
        assert draw(engine, ask("sd", scheduler="dpm++ 2m karras"))[0].tobytes() == other
    with pytest.raises(ValueError, match="no schedule"):
        draw(engine, task("sd", scheduler="eular"))
    assert draw(engine, task("sd"))[0].tobytes() == draw(engine, task("sd"))[0].tobytes()


def test_it_is_what_diffusers_itself_would_draw(engine: LocalEngine, weights: Path) -> None:
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(weights / "sd")
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config, use_karras_sigmas=True)
    generator = torch.Generator("cpu").manual_seed(7)
    arguments: dict[str, Any] = {"num_inference_steps": 5, "guidance_scale": 3.0, "height": 32, "width": 32}
    expected = pipeline("a castle", generator=generator, **arguments).images[0]
    assert draw(engine, task("sd", scheduler="dpm++ 2m karras"))[0].tobytes() == expected.tobytes()


@pytest.mark.parametrize("model", KNOWN)
def test_pictures_say_the_schedule_as_others_call_it(engine: LocalEngine, model: str) -> None:
    draw(engine, task(model))
    pipeline = loaded(engine, model).pipeline
    for name, known in KNOWN[model].items():
        with scheduled(pipeline, name):
            found = sampler(scheduler_name(pipeline), scheduler_options(pipeline))
        assert found[0] == known
        word = name.rpartition(" ")[2]
        assert found[1] == (word.capitalize() if word in schedulers.SIGMAS else None)
    drawn = next(iter(engine.draw(task(model, scheduler=next(iter(KNOWN[model]))), _listener())))
    assert drawn.made_with.scheduler is not None
    assert sampler(drawn.made_with.scheduler, drawn.made_with.scheduler_options)[0] == next(iter(KNOWN[model].values()))


def _listener() -> Any:
    from tests.unit.engine.test_contract import Listener

    return Listener()


def test_higher_order_counts_the_steps_that_were_asked_for(engine: LocalEngine) -> None:
    listener = _listener()
    list(engine.draw(task("sd", scheduler="heun"), listener))
    steps = [told for told in listener.told if isinstance(told, tuple) and told[0] == 0]
    assert steps[0] == (0, 1)
    assert steps[-1] == (0, 5)
    assert steps == sorted(steps)
