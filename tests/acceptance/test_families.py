"""Every family of models from a request over HTTP to a PNG, with the entries that operators really use.

The entries are those of the shipped catalog and of the examples in docs/models.md; only their sizes and hub ids are
changed. The weights are tiny and random, but of the real classes, so pictures say nothing except whether two differ.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from PIL import Image

from core.layout import Layout
from jobs import runner_status
from jobs.spool import Spool
from tests import programs, tiny_models, tiny_newer_models
from tests.acceptance.conftest import Service
from tests.programs import REPOSITORY

#: The folder of weights that each entry gets.
FAMILIES: Final = {
    "flux-1": tiny_models.save_flux,
    "flux-2": tiny_models.save_flux,
    "flux-abliterated": tiny_models.save_flux,
    "sd-3.5": tiny_models.save_stable_diffusion_3,
    "sdxl": tiny_newer_models.save_stable_diffusion_xl,
    "flux-schnell": tiny_newer_models.save_flux_schnell,
    "flux2-klein": tiny_newer_models.save_flux_2,
    "qwen-image": tiny_newer_models.save_qwen_image,
    "flux-fill": tiny_newer_models.save_flux_fill,
}
#: Those that draw from words.
FROM_WORDS: Final = [key for key in FAMILIES if key != "flux-fill"]
#: Those that begin from a picture, and those that draw a part of one.
FROM_PICTURES: Final = [key for key in FROM_WORDS if key != "flux2-klein"]
SIZES: Final = {"height": 32, "width": 32}
LIMITS: Final = {"min_side": 16, "max_side": 64}
#: Tokens of a prompt. A tiny token is a letter, and Qwen-Image puts a long text of its own before the prompt.
TOKENS: Final = {"qwen-image": 512}


def entries() -> dict[str, dict[str, Any]]:
    """The shipped catalog and the examples of the manual, by key."""
    found: dict[str, Any] = tomllib.loads((REPOSITORY / "models.toml").read_text(encoding="utf-8"))["models"]
    for block in re.findall(r"```toml\n(.*?)```", (REPOSITORY / "docs" / "models.md").read_text("utf-8"), re.DOTALL):
        found |= tomllib.loads(block)["models"]
    return found


def tiny(key: str, entry: dict[str, Any]) -> dict[str, Any]:
    """An entry made fit for tiny weights; what it says about parameters stays."""
    length = {"max_sequence_length": TOKENS.get(key, 64)}
    return entry | {
        "id": f"tests/{key}",
        "defaults": entry.get("defaults", {}) | SIZES | length | {"num_inference_steps": 3},
        "limits": entry.get("limits", {}) | LIMITS | length,
    }


def as_toml(key: str, entry: dict[str, Any]) -> str:
    """A table of the catalog."""

    def value(it: Any) -> str:
        if isinstance(it, dict):
            return "{ " + ", ".join(f"{name} = {value(inner)}" for name, inner in it.items()) + " }"
        return json.dumps(it)

    return f'[models."{key}"]\n' + "".join(f"{name} = {value(it)}\n" for name, it in entry.items())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Both programs with tiny weights for every entry, and some entries whose weights are bad."""
    folder = tmp_path_factory.mktemp("families")
    weights, shipped = folder / "weights", entries()
    catalog = ['default = "flux-2"\n']
    for key, save in FAMILIES.items():
        save(weights / key)
        catalog.append(as_toml(key, tiny(key, shipped[key])))
    for key, (_, damage) in BAD_MODELS.items():
        shutil.copytree(weights / "sd-3.5", weights / key)
        damage(weights / key)
        catalog.append(as_toml(key, tiny(key, shipped["sd-3.5"])))
    catalog.append(as_toml("far", tiny("far", shipped["flux-1"])))
    (folder / "models.toml").write_text("\n".join(catalog), encoding="utf-8")
    environment = {
        "CYBERIMAGE_CATALOG": str(folder / "models.toml"),
        "CYBERIMAGE_MODELS": str(weights),
        "CYBERIMAGE_IDLE_SECONDS": "600",
    }
    data = folder / "data"
    Spool(Layout(data)).prepare()
    with programs.api(data, environment) as api, programs.runner(data, environment) as runner:
        yield Service(api, runner, data)


@dataclass
class Drawn:
    """What came of a job."""

    status: dict[str, Any]
    pixels: bytes
    size: tuple[int, int]
    metadata: dict[str, Any]


def draw(
    service: Service, model: str, negative: str | None = None, *, image: str = "", mask: str = "", **settings: Any
) -> Drawn:
    """Draw one picture over HTTP, with the seed 7 unless another is given."""
    body = {"model_id": model, "prompt": "a castle", "settings": {"seed": 7} | settings}
    body |= {name: value for name, value in (("image", image), ("mask", mask)) if value}
    if negative is not None:
        body["negative_prompt"] = negative
    answer = service.api.post("/generate", json=body)
    assert answer.status_code == httpx.codes.OK, answer.text
    status = service.api.wait_for(answer.json()["job_id"], "completed")
    image_id = status["images"][0]["id"]
    picture = Image.open(io.BytesIO(service.api.get(f"/get_image/{image_id}").content))
    assert picture.format == "PNG"
    return Drawn(status, picture.tobytes(), picture.size, service.api.get(f"/image/{image_id}/metadata").json())


@pytest.mark.parametrize("model", FROM_WORDS)
def test_a_prompt_becomes_a_picture(service: Service, model: str) -> None:
    drawn = draw(service, model)
    assert drawn.size == (32, 32)
    assert (drawn.metadata["model_id"], drawn.metadata["seed"]) == (model, 7)
    assert not drawn.status["warnings"]
    plan = service.api.get("/models").json()["models"][model]["plan"]
    assert (plan["placement"], plan["fits"]) == ("resident", True)
    assert plan["fp8"] is (model == "flux-2")
    wide = draw(service, model, height=32, width=64)
    assert wide.size == (64, 32)


def test_a_negative_prompt_and_guidance_change_what_sd_3_5_draws(service: Service) -> None:
    plain = draw(service, "sd-3.5")
    negative = draw(service, "sd-3.5", "blurry")
    assert negative.pixels != plain.pixels
    assert (negative.metadata["negative_prompt"], negative.status["warnings"]) == ("blurry", [])
    assert draw(service, "sd-3.5", guidance_scale=2.0).pixels != plain.pixels
    # Classifier-free guidance is off at 1: there is no second pass, so the negative prompt has no say.
    off = draw(service, "sd-3.5", guidance_scale=1.0)
    assert draw(service, "sd-3.5", "blurry", guidance_scale=1.0).pixels == off.pixels


@pytest.mark.parametrize("model", ["flux-1", "flux-2", "flux-abliterated", "flux-schnell"])
def test_a_negative_prompt_changes_nothing_of_what_flux_draws(service: Service, model: str) -> None:
    negative = draw(service, model, "blurry")
    assert negative.pixels == draw(service, model).pixels
    assert negative.metadata["negative_prompt"] is None
    assert negative.status["warnings"] == [f"negative_prompt is ignored: {model} does not support it."]


def test_the_guidance_of_flux_is_a_number_that_its_transformer_reads_where_it_was_trained_to(service: Service) -> None:
    """FLUX guides by no second pass. FLUX.1-dev was distilled to read the scale as an input, so another number gives
    another picture there; FLUX.1-schnell has no such input, and the scale changes nothing.
    """
    assert draw(service, "flux-1", guidance_scale=2.0).pixels != draw(service, "flux-1").pixels
    assert draw(service, "flux-schnell", guidance_scale=9.0).pixels == draw(service, "flux-schnell").pixels


def test_the_second_pass_of_qwen_image_reads_the_negative_prompt(service: Service) -> None:
    plain = draw(service, "qwen-image")
    assert draw(service, "qwen-image", "blurry").pixels != plain.pixels
    assert draw(service, "qwen-image", guidance_scale=2.0).pixels != plain.pixels


def upload(service: Service, picture: Image.Image) -> str:
    """Send a picture; returns its id."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    answer = service.api.post("/inputs", content=stream.getvalue(), headers={"Content-Type": "image/png"})
    assert answer.status_code == httpx.codes.OK, answer.text
    found: str = answer.json()["id"]
    return found


@pytest.mark.parametrize("model", FROM_PICTURES)
def test_a_picture_becomes_another_and_what_a_mask_keeps_stays(service: Service, model: str) -> None:
    """Over HTTP as by a dropped pair and by the command line, which tests/unit compare with the pipeline itself."""
    start = Image.merge("RGB", [Image.effect_noise((48, 32), 60) for _ in range(3)])
    mask = Image.new("L", (48, 32), 0)
    mask.paste(255, (16, 0, 48, 32))
    image, masked = upload(service, start), upload(service, mask)
    drawn = draw(service, model, image=image, height=32, width=48, num_inference_steps=4)
    assert drawn.size == (48, 32)
    assert drawn.metadata["inputs"] == {"image": image.removeprefix("in_")}
    assert (drawn.metadata["settings"]["strength"], drawn.metadata["settings"]["scheduler"]) == (0.6, None)
    assert drawn.status["progress"]["total_steps"] == 2
    assert drawn.pixels != draw(service, model, height=32, width=48, num_inference_steps=4).pixels
    mended = draw(service, model, image=image, mask=masked, scheduler="euler karras")
    kept = Image.frombytes("RGB", mended.size, mended.pixels).crop((0, 0, 16, 32))
    assert kept.tobytes() == start.crop((0, 0, 16, 32)).tobytes()
    assert mended.metadata["inputs"].keys() == {"image", "mask"}
    assert mended.metadata["scheduler_options"] == {"use_karras_sigmas": True}
    wider = draw(service, model, image=image, outpaint={"left": 16})
    assert wider.size == (64, 32)
    assert Image.frombytes("RGB", (64, 32), wider.pixels).crop((16, 0, 64, 32)).tobytes() == start.tobytes()


def test_a_model_that_only_mends_needs_a_picture(service: Service) -> None:
    start = Image.new("RGB", (32, 32), (200, 30, 40))
    mended = draw(service, "flux-fill", image=upload(service, start), outpaint={"right": 16}, strength=1.0)
    assert mended.size == (48, 32)
    answer = service.api.post("/generate", json={"model_id": "flux-fill", "prompt": "a castle"})
    assert "mends or continues pictures" in answer.json()["message"]


def test_a_dropped_pair_becomes_a_picture(service: Service) -> None:
    incoming = Layout(service.data).incoming
    Image.new("RGB", (32, 32), (200, 30, 40)).save(incoming / "house.jpg")
    job = {"id": "house", "model_id": "sdxl", "prompt": "a castle", "image": "house.jpg"}
    (incoming / "house.json").write_text(json.dumps(job), encoding="utf-8")
    programs.wait_until(lambda: service.api.get("/status/house").status_code == httpx.codes.OK, about="the adoption")
    status = service.api.wait_for("house", "completed")
    assert status["image"]["width"] == 32
    assert list(incoming.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "settings", "sentence"),
    [
        ("flux-1", {"height": 40}, "settings.height is 40; flux-1 needs a multiple of 16 from 16 to 64."),
        ("sdxl", {"width": 36}, "settings.width is 36; sdxl needs a multiple of 8 from 16 to 64."),
        ("sd-3.5", {"width": 128}, "settings.width is 128; sd-3.5 needs a multiple of 16 from 16 to 64."),
        ("flux-1", {"max_sequence_length": 513}, "settings.max_sequence_length is 513; it must be an integer"),
    ],
)
def test_what_a_family_cannot_make_is_refused_with_a_sentence(
    service: Service, model: str, settings: dict[str, Any], sentence: str
) -> None:
    answer = service.api.post("/generate", json={"model_id": model, "prompt": "a castle", "settings": settings})
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert sentence in answer.json()["message"]


def test_a_longer_prompt_than_a_family_reads_is_a_warning(service: Service) -> None:
    job = draw(service, "sd-3.5", max_sequence_length=65)
    assert job.status["warnings"] == ["settings.max_sequence_length is 65; sd-3.5 takes at most 64 tokens."]


def test_a_model_without_weights_says_how_to_get_them(service: Service) -> None:
    answer = service.api.post("/generate", json={"model_id": "far", "prompt": "a castle"})
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert "The operator can fetch them with: python -m runner.models pull far" in answer.json()["message"]


# --- Folders that are no good -------------------------------------------------------------------------

TRANSFORMER: Final = "transformer/diffusion_pytorch_model.safetensors"


def truncate(folder: Path) -> None:
    path = folder / TRANSFORMER
    path.write_bytes(path.read_bytes()[:-1000])


def make_pickle(folder: Path) -> None:
    path = folder / TRANSFORMER
    path.rename(path.with_suffix(".bin"))


def rename_class(name: str) -> Callable[[Path], None]:
    def rename(folder: Path) -> None:
        path = folder / "model_index.json"
        index = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(index | {"_class_name": name}), encoding="utf-8")

    return rename


def make_language_model(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"architectures": ["LlamaForCausalLM"]}', encoding="utf-8")


def swap_transformer(folder: Path) -> None:
    config = folder / "transformer" / "config.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps(content | {"num_attention_heads": 2}), encoding="utf-8")


#: A part of the sentence, and what makes the folder bad.
BAD_MODELS: Final[dict[str, tuple[str, Callable[[Path], None]]]] = {
    "truncated": (f"truncated/{TRANSFORMER} is truncated", truncate),
    "pickle": ("has only diffusion_pytorch_model.bin, a pickle, which can run code and is refused", make_pickle),
    "language": ("language/model_index.json names no pipeline class", make_language_model),
    "unknown": ("unknown is made for CastlePipeline, which diffusers", rename_class("CastlePipeline")),
    "inpainting": (
        "inpainting is a StableDiffusion3InpaintPipeline, which does not make a picture from a text alone",
        rename_class("StableDiffusion3InpaintPipeline"),
    ),
    "video": (
        "video is a CogVideoXPipeline, which does not make a picture from a text alone",
        rename_class("CogVideoXPipeline"),
    ),
    "mismatched": ("Model mismatched cannot be loaded: ", swap_transformer),
}


@pytest.mark.parametrize("model", BAD_MODELS)
def test_a_bad_folder_gets_one_sentence_and_the_worker_goes_on(service: Service, model: str) -> None:
    draw(service, "sd-3.5")
    worker = worker_pid(service)
    job = service.api.post("/generate", json={"model_id": model, "prompt": "a castle"}).json()["job_id"]
    failed = service.api.wait_for(job, "failed")
    assert failed["error_type"] == "model_unavailable"
    assert BAD_MODELS[model][0] in failed["error_message"]
    assert "\n" not in failed["error_message"]
    assert draw(service, "sd-3.5").size == (32, 32)
    assert worker_pid(service) == worker


def worker_pid(service: Service) -> int | None:
    """The process that draws."""
    status = runner_status.read(Layout(service.data), "cpu")
    return status.worker_pid if status else None
