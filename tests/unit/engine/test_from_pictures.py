"""Drawing from a picture with every family: what comes out is what the family's own pipeline draws, called directly."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from PIL import Image

from engine.contract import DrawTask
from engine.local.devices import choose
from engine.local.engine import LocalEngine
from engine.local.pipelines import Pipelines
from jobs.abilities import BY_PIPELINE, pipeline_of
from jobs.catalog import Capabilities, Catalog, ModelEntry
from jobs.limits import Limits
from jobs.schema import EffectiveSettings
from tests import tiny_models, tiny_newer_models
from tests.unit.engine.test_contract import Listener

FAMILIES: Final[dict[str, Callable[[Path], None]]] = {
    "sd": tiny_models.save_stable_diffusion,
    "sdxl": tiny_newer_models.save_stable_diffusion_xl,
    "flux": tiny_models.save_flux,
    "flux-fill": tiny_newer_models.save_flux_fill,
    "sd3": tiny_models.save_stable_diffusion_3,
    "qwen-image": tiny_newer_models.save_qwen_image,
}
#: Qwen-Image puts a long text of its own before the prompt, and a tiny token is a letter.
LENGTHS: Final = {"qwen-image": 512}
SIDE: Final = 32


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny weights of every family."""
    folder = tmp_path_factory.mktemp("families")
    for key, save in FAMILIES.items():
        save(folder / key)
    return folder


@pytest.fixture(scope="module")
def engine(weights: Path) -> LocalEngine:
    """An engine with an entry for each family; models stay in its memory over the tests."""
    entries = {
        key: ModelEntry(
            id=key,
            description="for tests",
            limits=Limits(min_side=16, max_side=64, size_multiple=8),
            capabilities=Capabilities(true_cfg=key == "qwen-image"),
        )
        for key in FAMILIES
    }
    catalog = Catalog(entries, "sd", weights, weights)
    device = choose("cpu")
    return LocalEngine(catalog, device, Pipelines(catalog, device), None)


def picture(seed: int = 3, side: int = SIDE) -> Image.Image:
    values = torch.randint(0, 256, (side // 4, side // 4, 3), generator=torch.Generator().manual_seed(seed))
    small = Image.fromarray(values.to(torch.uint8).numpy())
    return small.resize((side, side), Image.Resampling.BICUBIC)


def mask() -> Image.Image:
    found = Image.new("L", (SIDE, SIDE), 0)
    found.paste(255, (8, 8, 24, 24))
    return found


def task(model: str, **changes: Any) -> DrawTask:
    settings = EffectiveSettings(
        num_inference_steps=5,
        guidance_scale=3.0,
        height=SIDE,
        width=SIDE,
        max_sequence_length=LENGTHS.get(model, 16),
        strength=changes.pop("strength", None),
        scheduler=changes.pop("scheduler", None),
        seed=7,
    )
    options = {"model": model, "prompt": "a castle", "negative_prompt": None, "settings": settings, "seeds": (7,)}
    return DrawTask(**(options | changes))


def draw(engine: LocalEngine, asked: DrawTask, listener: Listener | None = None) -> list[Image.Image]:
    return [drawn.image for drawn in engine.draw(asked, listener or Listener())]


def from_picture(model: str, strength: float = 0.6, **changes: Any) -> DrawTask:
    return task(model, image=picture(), strength=strength, **changes)


def masked(model: str, **changes: Any) -> DrawTask:
    return from_picture(model, mask=mask(), **changes)


def loaded(engine: LocalEngine, model: str) -> Any:
    found = engine.pipelines.warm(model, SIDE * SIDE)
    assert found is not None
    return found


def direct(weights: Path, asked: DrawTask) -> Image.Image:
    """The same picture by diffusers alone, as its documentation says."""
    from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting, DiffusionPipeline, FluxFillPipeline

    pipeline = DiffusionPipeline.from_pretrained(weights / asked.model, use_safetensors=True)
    if asked.mask is None:
        pipeline = AutoPipelineForImage2Image.from_pipe(pipeline)
    elif not isinstance(pipeline, FluxFillPipeline):
        pipeline = AutoPipelineForInpainting.from_pipe(pipeline)
    pipeline.set_progress_bar_config(disable=True)
    arguments: dict[str, Any] = {"image": asked.image, "strength": asked.settings.strength}
    if asked.mask is not None:
        arguments["mask_image"] = asked.mask
    if asked.mask is not None or asked.model in ("flux", "sd3", "qwen-image"):
        arguments |= {"height": SIDE, "width": SIDE}
    if asked.model == "qwen-image":
        arguments |= {"true_cfg_scale": 3.0, "negative_prompt": " "}
    else:
        arguments["guidance_scale"] = 3.0
    if asked.model in ("flux", "flux-fill", "sd3", "qwen-image"):
        arguments["max_sequence_length"] = asked.settings.max_sequence_length
    generator = torch.Generator("cpu").manual_seed(7)
    found = pipeline(prompt="a castle", num_inference_steps=5, generator=generator, **arguments).images[0]
    assert isinstance(found, Image.Image)
    return found


def cases() -> Iterator[tuple[str, Callable[..., DrawTask]]]:
    for model in FAMILIES:
        if model != "flux-fill":
            yield model, from_picture
        yield model, masked


@pytest.mark.parametrize(("model", "ask"), list(cases()))
def test_it_is_what_the_pipeline_itself_draws(
    engine: LocalEngine, weights: Path, model: str, ask: Callable[..., DrawTask]
) -> None:
    asked = ask(model)
    listener = Listener()
    (drawn,) = draw(engine, asked, listener)
    assert drawn.tobytes() == direct(weights, asked).tobytes()
    steps = [told for told in listener.told if isinstance(told, tuple) and isinstance(told[0], int)]
    assert steps == [(0, 1), (0, 2), (0, 3)]
    assert draw(engine, ask(model, seeds=(8,)))[0].tobytes() != drawn.tobytes()


@pytest.mark.parametrize("model", ["sd", "flux", "sd3"])
def test_a_seed_alone_decides_its_image(engine: LocalEngine, model: str) -> None:
    pair = draw(engine, from_picture(model, seeds=(7, 8)))
    assert draw(engine, from_picture(model, seeds=(8,)))[0].tobytes() == pair[1].tobytes() != pair[0].tobytes()


@pytest.mark.parametrize("model", FAMILIES)
def test_no_weight_is_in_memory_twice(engine: LocalEngine, model: str) -> None:
    """Every module of the other pipelines is the very module of the loaded one."""
    draw(engine, masked(model))
    found = loaded(engine, model)
    if model != "flux-fill":
        draw(engine, from_picture(model))
    before = {id(module) for _, module in found.pipeline.components.items() if module is not None}
    for variant in found.variants.values():
        shared = {id(module) for module in variant.components.values() if module is not None}
        assert shared <= before


def test_switching_between_uses_neither_loads_nor_grows(engine: LocalEngine) -> None:
    """A hundred times from words, from a picture, a part of one: the number of tensors in memory stays."""
    asked = [task("sd"), from_picture("sd"), masked("sd"), from_picture("sd", scheduler="heun")]
    first = [draw(engine, it)[0].tobytes() for it in asked]
    model = loaded(engine, "sd")
    tensors = _tensors()
    listener = Listener()
    for _ in range(25):
        assert [draw(engine, it, listener)[0].tobytes() for it in asked] == first
    assert ("loading", "sd") not in listener.told
    assert loaded(engine, "sd") is model
    assert _tensors() <= tensors + 5


def _tensors() -> int:
    gc.collect()
    return sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects())


def test_the_table_of_abilities_is_that_of_diffusers(weights: Path) -> None:
    from diffusers.pipelines import auto_pipeline

    def names(table: Any) -> list[str]:
        return [kind.__name__ for kind in table.values()]

    from_words = names(auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING)
    for name, abilities in BY_PIPELINE.items():
        if not abilities.text_to_image:
            assert name not in from_words
            continue
        family = next(
            key for key, kind in auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING.items() if kind.__name__ == name
        )
        assert (family in auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING) == abilities.image_to_image
        assert (family in auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING) == abilities.inpainting
    assert {pipeline_of(weights / key) for key in FAMILIES} == set(BY_PIPELINE)
