"""Each client, what is done with it, and what must come of it: `docs/clients.md` holds the table of the results.

`python -m tests.clients.conformance` writes that table anew; `test_clients.py` compares.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import httpx
from PIL import Image

from tests import programs
from tests.programs import PATIENCE, REPOSITORY, without_coverage
from tests.runner_harness import RunnerHarness

DOCUMENT: Final = REPOSITORY / "docs" / "clients.md"
BEGIN, END = "<!-- conformance: made by `python -m tests.clients.conformance` -->", "<!-- end of conformance -->"
NODE_FOLDER: Final = Path(__file__).parent / "node"


class Missing(Exception):
    """A client is not here, and cannot be fetched; the message says what is missing."""


@dataclass(frozen=True)
class Client:
    """A client of another API. `run` draws with it at a base URL, and returns what came of it in a few words."""

    name: str
    version: str
    done: str
    run: Callable[[str], str]


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Both programs, with an engine that draws flat pictures; yields the base URL."""
    harness = RunnerHarness.bare(folder)
    text = harness.catalog_path.read_text(encoding="utf-8")
    harness.catalog_path.write_text(_able(text), encoding="utf-8")
    settings = {"CYBERIMAGE_CATALOG": str(harness.catalog_path), "CYBERIMAGE_MODELS": str(harness.weights)}
    with programs.api(harness.data, settings, workers=2) as api, harness.stub_runner():
        yield api.base


def _able(catalog: str) -> str:
    """The catalog of the tests, with its first model able to begin from pictures."""
    pipeline = "capabilities = { negative_prompt = true, callback_steps = true"
    assert pipeline in catalog
    return catalog.replace(pipeline, f"{pipeline}, image_to_image = true, inpainting = true", 1)


def pictures_of(encoded: list[str]) -> str:
    """What pictures in base64 are, if they are whole: `2 PNG of 64x64`."""
    kinds = []
    for text in encoded:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as picture:
            picture.load()
            kinds.append(f"{picture.format} of {picture.width}x{picture.height}")
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


# --- Libraries ------------------------------------------------------------------------------------


def openai_python(base: str) -> str:
    """OpenAI's library for Python."""
    import openai

    with openai.OpenAI(base_url=f"{base}/v1", api_key="none") as client:
        models = [model.id for model in client.models.list()]
        assert client.models.retrieve(models[0]).id == models[0]
        drawn = client.images.generate(model="gpt-image-1", prompt="a red house", n=2, size="auto", quality="low")
        linked = client.images.generate(model="dall-e-3", prompt="a red house", response_format="url")
        stream = client.images.generate(prompt="a red house", stream=True, partial_images=2, output_format="jpeg")
        events = list(stream)
        edited = client.images.edit(image=base64.b64decode(texts(drawn)[0]), prompt="a blue house")
        for wrong, kind in (({"n": 0}, openai.BadRequestError), ({"model": "nowhere"}, openai.NotFoundError)):
            try:
                client.images.generate(**({"prompt": "a red house"} | wrong))
                raise AssertionError(f"{wrong} was not refused")
            except kind:
                pass
    png = httpx.get(str((linked.data or [])[0].url)).content
    assert events[-1].type == "image_generation.completed"
    last = [str(events[-1].b64_json), base64.b64encode(png).decode()]
    return pictures_of([*texts(drawn), *last, *texts(edited)])


def texts(answer: Any) -> list[str]:
    """The pictures of an answer of the library."""
    return [str(image.b64_json) for image in answer.data]


def openai_node(base: str) -> str:
    """OpenAI's library for Node, fetched by npm if it is not here yet."""
    found = _json_of(["node", str(_node_script()), base])
    assert found["refused"] == {"name": "BadRequestError", "param": "n"}
    assert found["events"][-1] == "image_generation.completed"
    assert found["models"]
    return pictures_of(found["pictures"])


def _node_script() -> Path:
    if not shutil.which("node") or not shutil.which("npm"):
        raise Missing("there is no Node here")
    if not (NODE_FOLDER / "node_modules" / "openai").is_dir():
        install = ["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        done = subprocess.run(install, cwd=NODE_FOLDER, capture_output=True, timeout=PATIENCE, check=False)
        if done.returncode:
            raise Missing("npm cannot fetch OpenAI's library for Node")
    return NODE_FOLDER / "draw.mjs"


def litellm(base: str) -> str:
    """LiteLLM's image call."""
    found = _json_of([sys.executable, "-m", "tests.clients.litellm_call", base])
    assert found["refused"] == "NotFoundError"
    return pictures_of(found["pictures"])


def webuiapi(base: str) -> str:
    """The Python client of A1111's API."""
    from webuiapi import WebUIApi

    client = WebUIApi(baseurl=f"{base}/sdapi/v1")
    model = client.get_options()["sd_model_checkpoint"]
    assert model in client.util_get_model_names()
    client.set_options({"sd_model_checkpoint": model})
    assert client.get_options()["sd_model_checkpoint"] == model
    assert client.get_progress()["state"]["job_count"] == 0
    drawn = client.txt2img(prompt="a red house", width=64, height=64, batch_size=2, seed=7)
    assert drawn.info["all_seeds"] == [7, 8]
    assert drawn.image.info["parameters"] == drawn.info["infotexts"][0]
    assert client.png_info(drawn.image).json["parameters"]["Seed"] == "7"
    again = client.img2img(images=[drawn.image], prompt="a blue house", width=64, height=64)
    assert client.interrupt() == {}
    return pictures_of([*drawn.json["images"], *again.json["images"]])


def _json_of(command: list[str]) -> Any:
    done = subprocess.run(
        command, cwd=REPOSITORY, env=without_coverage(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


# --- Requests of the shape that programs send -----------------------------------------------------


def open_webui_openai(base: str) -> str:
    """As its image engine `openai` asks (routers/images.py)."""
    body = {"model": "dall-e-2", "prompt": "a red house", "n": 1, "size": "64x64", "response_format": "b64_json"}
    headers = {"Authorization": "Bearer none", "Content-Type": "application/json"}
    answer = httpx.post(f"{base}/v1/images/generations?api-version=x", json=body, headers=headers, timeout=PATIENCE)
    (image,) = answer.raise_for_status().json()["data"]
    assert not image.get("url")  # it would fetch that first, and refuses addresses of its own network
    return pictures_of([image["b64_json"]])


def open_webui_a1111(base: str) -> str:
    """As its image engine `automatic1111` asks, which is also the one where none is chosen."""
    with httpx.Client(base_url=f"{base}/sdapi/v1", timeout=PATIENCE) as client:
        models = [{"id": it["title"], "name": it["model_name"]} for it in client.get("/sd-models").json()]
        options = client.get("/options").raise_for_status().json()
        options["sd_model_checkpoint"] = models[0]["id"]
        client.post("/options", json=options).raise_for_status()
        body = {"prompt": "a red house", "batch_size": 1, "width": 64, "height": 64, "steps": 2, "negative_prompt": ""}
        answer = client.post("/txt2img", json=body).raise_for_status().json()
    return pictures_of(answer["images"])


def librechat_image_tool(base: str) -> str:
    """As its tool for OpenAI's images asks (OpenAIImageTools.js): drawing, then editing by a form."""
    body = {"model": "gpt-image-1", "prompt": "a red house", "n": 1, "background": "auto", "output_format": "webp"}
    body |= {"output_compression": 100, "quality": "auto", "size": "auto"}
    headers = {"Authorization": "Bearer none"}
    with httpx.Client(base_url=f"{base}/v1", timeout=PATIENCE, headers=headers) as client:
        drawn = client.post("/images/generations", json=body).raise_for_status().json()["data"][0]["b64_json"]
        form = {"model": "gpt-image-1", "prompt": "a blue house", "quality": "auto", "size": "auto"}
        file = ("a.webp", base64.b64decode(drawn), "image/webp")
        answer = client.post("/images/edits", data=form, files=[("image[]", file)])
        edited = answer.raise_for_status().json()["data"][0]["b64_json"]
    return pictures_of([drawn, edited])


def librechat_stable_diffusion(base: str) -> str:
    """As its tool for A1111 asks (StableDiffusion.js); the size and steps, which it sets, are those of this engine."""
    body = {"prompt": "a red house", "negative_prompt": "fog", "cfg_scale": 4.5, "steps": 22, "width": 512}
    answer = httpx.post(f"{base}/sdapi/v1/txt2img", json=body | {"height": 512}, timeout=PATIENCE)
    found = answer.raise_for_status().json()
    info = json.loads(found["info"])
    assert (info["width"], info["infotexts"][0].split("\n")[-1][:9]) == (512, "Steps: 22")
    return pictures_of(found["images"])


def sillytavern(base: str) -> str:
    """As its server asks (src/endpoints/stable-diffusion.js): ping, lists, the model, a picture, and an interrupt."""
    basic = {"Authorization": "Basic " + base64.b64encode(b":").decode()}
    with httpx.Client(base_url=f"{base}/sdapi/v1", headers=basic, timeout=PATIENCE) as client:
        assert client.get("/options").status_code == httpx.codes.OK
        lists = {
            path: client.get(f"/{path}").raise_for_status().json()
            for path in ("sd-models", "samplers", "schedulers", "upscalers", "latent-upscale-modes", "sd-vae")
        }
        client.post("/options", json={"sd_model_checkpoint": lists["sd-models"][0]["title"]}).raise_for_status()
        seen = client.get("/progress").json()
        assert (seen["progress"], seen["state"]["job_count"]) == (0.0, 0)
        body = {"url": base, "auth": ":", "prompt": "a red house", "negative_prompt": "fog", "steps": 20, "scale": 7}
        body |= {"sampler_name": lists["samplers"][0]["name"], "scheduler": lists["schedulers"][0]["name"]}
        body |= {"width": 64, "height": 64, "restore_faces": False, "enable_hr": False, "hr_scale": 2, "seed": -1}
        body |= {"cfg_scale": 7, "denoising_strength": 0.7, "save_images": True, "send_images": True, "clip_skip": 1}
        body |= {"do_not_save_grid": False, "do_not_save_samples": False, "override_settings": {"CLIP_stop": 1}}
        drawn = client.post("/txt2img", json=body).raise_for_status().json()["images"]
        client.post("/interrupt").raise_for_status()
    return pictures_of(drawn)


CLIENTS: Final = (
    Client(
        "`openai` (Python)",
        version("openai"),
        "models, two pictures by `gpt-image-1`, one by url, a stream with previews in JPEG, an edit, wrong requests",
        openai_python,
    ),
    Client(
        "`openai` (Node)",
        json.loads((NODE_FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]["openai"],
        "models, two pictures by `gpt-image-1`, a stream in WebP, an edit, a wrong request",
        openai_node,
    ),
    Client("LiteLLM", version("litellm"), "two pictures by `openai/gpt-image-1`, a model that is not here", litellm),
    Client(
        "`webuiapi`",
        version("webuiapi"),
        "lists, choosing a model, two pictures, their parameters, img2img, interrupt",
        webuiapi,
    ),
    Client(
        "Open WebUI, engine `openai`", "requests as of 02530d5", "a picture by `dall-e-2` of 64x64", open_webui_openai
    ),
    Client(
        "Open WebUI, engine `automatic1111`", "requests as of 02530d5", "models, options, a picture",
        open_webui_a1111,
    ),
    Client(
        "LibreChat, OpenAI image tool", "requests as of 00b3bc3", "a picture, and an edit of it by `image[]`",
        librechat_image_tool,
    ),
    Client(
        "LibreChat, Stable Diffusion tool", "requests as of 00b3bc3", "a picture with its infotext",
        librechat_stable_diffusion,
    ),
    Client("SillyTavern", "requests as of 02903fd", "ping, lists, choosing a model, a picture, interrupt", sillytavern),
)  # fmt: skip


def row(client: Client, result: str) -> str:
    """A line of the table."""
    return f"| {client.name} | {client.version} | {client.done} | {result} |"


def table_in(document: str) -> str:
    """The table that the document holds."""
    return document[document.index(BEGIN) + len(BEGIN) : document.index(END)].strip()


def main() -> None:
    """Run every client, and write the table."""
    lines = ["| client | version | what was done | result |", "| --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as base:
        lines += [row(client, client.run(base)) for client in CLIENTS]
    text = DOCUMENT.read_text(encoding="utf-8")
    table = "\n".join(lines)
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table}\n\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
