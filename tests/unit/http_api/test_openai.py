"""The door `/v1`: what its answers hold, and how its words become ours."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from falcon.testing import TestClient
from PIL import Image

from http_api.app import create_app
from jobs.schema import JobError, State
from service.services import Services

Drawing = Callable[[], Any]
PATH = "/v1/images/generations"


@pytest.fixture
def call(client: TestClient, drawing: Drawing) -> Callable[..., Any]:
    """Send a body, and have it drawn; returns the answer's JSON."""

    def send(**body: Any) -> Any:
        with drawing():
            answer = client.simulate_post(PATH, json={"prompt": "a castle", **body})
        assert answer.status_code == 200, answer.text
        return answer.json

    return send


def only_job(services: Services) -> Any:
    """The one job that there is."""
    (found,) = [services.spool.find(job_id) for state in State for job_id in services.spool.ids(state)]
    return found[1]


def picture(encoded: str) -> tuple[str | None, tuple[int, int]]:
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as found:
        found.load()
        return found.format, found.size


def test_pictures_come_in_the_answer(call: Callable[..., Any], services: Services) -> None:
    answer = call(n=2, seed=7)
    assert [picture(image["b64_json"])[0] for image in answer["data"]] == ["PNG", "PNG"]
    assert [image["seed"] for image in answer["data"]] == [7, 8]
    assert not any("url" in image for image in answer["data"])
    assert (answer["size"], answer["output_format"], answer["background"]) == ("64x64", "png", "opaque")
    assert answer["usage"]["total_tokens"] == 0
    job = only_job(services)
    assert (job.effective_settings.num_images, job.settings) == (2, {"num_images": 2, "seed": 7})


@pytest.mark.parametrize(
    ("headers", "trusted", "base"),
    [
        ({}, 0, "http://testserver"),
        ({"Host": "falconframework.org:8080"}, 0, "http://falconframework.org:8080"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/ai"}, 0, "http://testserver"),
        (
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "pictures.example", "X-Forwarded-Prefix": "/ai"},
            1,
            "https://pictures.example/ai",
        ),
        ({"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "a.example, b.example"}, 2, "https://a.example"),
        ({"X-Forwarded-Proto": "javascript"}, 1, "http://testserver"),
    ],
)
def test_an_address_is_whole_as_the_client_can_use_it_and_leads_to_the_png(
    services: Services, drawing: Drawing, headers: dict[str, str], trusted: int, base: str
) -> None:
    settings = replace(services.settings, trusted_proxies=trusted, allowed_hosts=(), host="0.0.0.0")
    client = TestClient(create_app(replace(services, settings=settings)))
    with drawing():
        answer = client.simulate_post(
            PATH, json={"prompt": "x", "response_format": "url"}, headers=headers, host="testserver"
        )
    (image,) = answer.json["data"]
    assert "b64_json" not in image
    assert image["url"].startswith(f"{base}/api/get_image/img_")
    assert image["url"].endswith(".png")
    path = image["url"].removeprefix(base)
    assert client.simulate_get(path, host="testserver").headers["content-type"] == "image/png"


@pytest.mark.parametrize(("output_format", "expected"), [("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_formats(call: Callable[..., Any], output_format: str, expected: str) -> None:
    answer = call(output_format=output_format, output_compression=40)
    assert picture(answer["data"][0]["b64_json"])[0] == expected
    assert answer["output_format"] == output_format


@pytest.mark.parametrize(
    ("quality", "steps"),
    [(None, 4), ("auto", 4), ("low", 2), ("medium", 4), ("standard", 4), ("high", 6), ("hd", 6), ("max", 6)],
)
def test_a_quality_is_a_part_of_the_models_steps(
    call: Callable[..., Any], services: Services, quality: str | None, steps: int
) -> None:
    call(quality=quality, size="auto", model=None, n=None, background="auto", response_format=None, style="vivid")
    assert only_job(services).effective_settings.num_inference_steps == steps


def test_extensions_and_sizes_are_taken_as_they_are(call: Callable[..., Any], services: Services) -> None:
    answer = call(
        negative_prompt="fog", num_inference_steps=3, guidance_scale=2, seed=1, size="128x64", quality="high",
        model="example/tiny",
    )  # fmt: skip
    job = only_job(services)
    assert (job.negative_prompt, job.model_id) == ("fog", "tiny")
    used = job.effective_settings
    assert (used.num_inference_steps, used.guidance_scale, used.width, used.height) == (3, 2.0, 128, 64)
    assert (answer["size"], answer["quality"]) == ("128x64", "high")


@pytest.mark.parametrize("name", ["gpt-image-1", "gpt-image-1.5-mini", "dall-e-2", "chatgpt-image-latest", ""])
def test_names_of_openai_mean_the_default_model(call: Callable[..., Any], services: Services, name: str) -> None:
    call(model=name)
    assert only_job(services).model_id == "tiny"


def test_unless_the_operator_forbids_it(client_with: Callable[..., TestClient], services: Services) -> None:
    client = client_with(settings=replace(services.settings, openai_names=False))
    answer = client.simulate_post(PATH, json={"prompt": "x", "model": "gpt-image-1"})
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("body", "param", "word"),
    [
        ({"n": 0}, "n", "n is 0; it must be an integer from 1 to 8"),
        ({"n": "2"}, "n", 'n is "2"'),
        ({"size": "65x64"}, "size", "size (its width) is 65"),
        ({"size": "64x4096"}, "size", "size (its height) is 4096"),
        ({"size": "large"}, "size", "auto or WIDTHxHEIGHT"),
        ({"quality": "best"}, "quality", "one of auto, hd, high"),
        ({"response_format": "gif"}, "response_format", "one of b64_json, url"),
        ({"output_format": "gif"}, "output_format", "one of jpeg, png, webp"),
        ({"output_compression": 101}, "output_compression", "from 0 to 100"),
        ({"background": "transparent"}, "background", "no model here draws one"),
        ({"response_format": "url", "output_format": "jpeg"}, "output_format", "leads to the PNG"),
        ({"response_format": "url", "stream": True}, "stream", "events carry the images"),
        ({"partial_images": 4}, "partial_images", "from 0 to 3"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"num_inference_steps": 51}, "num_inference_steps", "1 to 50"),
        ({"seed": -2}, "seed", "seed is -2"),
        ({"prompt": "  "}, "prompt", "blank"),
        ({"prompt": "x" * 501}, "prompt", "501 characters"),
        ({"prompt": None}, "prompt", "it must be"),
        ({"model": "far"}, "model", "not available here"),
        ({"model": "nowhere"}, "model", "available: tiny"),
    ],
)
def test_a_fault_is_named_in_openais_words(client: TestClient, body: dict[str, Any], param: str, word: str) -> None:
    answer = client.simulate_post(PATH, json={"prompt": "a castle", **body})
    error = answer.json["error"]
    assert answer.status_code == (404 if param == "model" else 400)
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert word in error["message"]
    assert "settings." not in error["message"]
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("kind", "status", "error_type"),
    [("out_of_memory", 500, "server_error"), ("invalid_settings", 400, "invalid_request_error")],
)
def test_a_job_that_fails_says_why_and_is_not_to_be_sent_again(
    client: TestClient, services: Services, begin_first: Callable[..., None], kind: str, status: int, error_type: str
) -> None:
    begin_first(lambda held: held.fail(JobError(type=kind, message="It is too large.")))
    answer = client.simulate_post(PATH, json={"prompt": "a castle"})
    error = answer.json["error"]
    assert (answer.status_code, error["type"], error["code"]) == (status, error_type, kind)
    assert (error["message"], answer.headers["x-should-retry"]) == ("It is too large.", "false")


def test_a_job_that_somebody_cancels_says_so(client: TestClient, begin_first: Callable[..., None]) -> None:
    begin_first(lambda held: held.cancel())
    answer = client.simulate_post(PATH, json={"prompt": "a castle"})
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "cancelled")


def test_pictures_that_are_deleted_before_they_are_sent_are_told(
    client: TestClient, begin_first: Callable[..., None]
) -> None:
    begin_first(lambda held: held.complete())
    answer = client.simulate_post(PATH, json={"prompt": "a castle"})
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "deleted")


def events(answer: Any) -> list[tuple[str, Any]]:
    """The name and the content of each event of a stream."""
    found = []
    for block in answer.text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_a_stream_tells_previews_and_then_the_pictures(
    client: TestClient, services: Services, begin_first: Callable[..., None]
) -> None:
    def draw(worker: Any, held: Any) -> None:
        for step in (1, 2, 3):
            worker.report(held, step)
            worker.show(held)
            worker.pause()
        worker.finish(held)

    begin_first(draw, with_worker=True)
    body = {"prompt": "a castle", "stream": True, "partial_images": 2, "n": 2, "output_format": "webp"}
    answer = client.simulate_post(PATH, json=body)
    assert answer.headers["content-type"] == "text/event-stream"
    told = events(answer)
    assert [name for name, _ in told][-2:] == ["image_generation.completed"] * 2
    previews = [content for name, content in told if name == "image_generation.partial_image"]
    assert [content["partial_image_index"] for content in previews] == list(range(len(previews)))
    assert 1 <= len(previews) <= 2
    for name, content in told:
        assert content["type"] == name
        assert picture(content["b64_json"])[0] == "WEBP"
        assert ("usage" in content) == name.endswith("completed")


def test_a_stream_tells_the_error_that_the_job_ends_with(client: TestClient, begin_first: Callable[..., None]) -> None:
    begin_first(lambda held: held.fail(JobError(type="out_of_memory", message="It is too large.")))
    ((name, content),) = events(client.simulate_post(PATH, json={"prompt": "a castle", "stream": True}))
    assert name == "error"
    assert content["error"]["code"] == "out_of_memory"


def test_models_are_those_that_can_draw(client: TestClient) -> None:
    listed = client.simulate_get("/v1/models").json
    assert listed == {
        "object": "list",
        "data": [{"id": "tiny", "object": "model", "created": 0, "owned_by": "example"}],
    }
    assert client.simulate_get("/v1/models/tiny").json == listed["data"][0]
    for name in ("far", "nowhere", "gpt-image-1"):
        answer = client.simulate_get(f"/v1/models/{name}")
        assert (answer.status_code, answer.json["error"]["code"]) == (404, "model_not_found")


def test_an_idempotency_key_means_one_job_here_too(client: TestClient, drawing: Drawing, services: Services) -> None:
    with drawing():
        first, second = (
            client.simulate_post(PATH, json={"prompt": "x"}, headers={"Idempotency-Key": "k"}) for _ in range(2)
        )
    assert first.json["data"] == second.json["data"]
    reused = client.simulate_post(PATH, json={"prompt": "y"}, headers={"Idempotency-Key": "k"})
    assert (reused.status_code, reused.json["error"]["param"]) == (422, "Idempotency-Key")


# --- From a picture -------------------------------------------------------------------------------


def png_of(mode: str = "RGB", size: tuple[int, int] = (64, 64), colour: Any = "red") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, colour).save(stream, "PNG")
    return stream.getvalue()


def half_transparent() -> bytes:
    """A mask as OpenAI's clients send it: its left half is to be drawn anew."""
    mask = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 32, 64))
    stream = io.BytesIO()
    mask.save(stream, "PNG")
    return stream.getvalue()


def form(*parts: tuple[str, bytes | str]) -> dict[str, Any]:
    """A body of multipart/form-data, and its header; what is bytes is a file."""
    lines = []
    for name, value in parts:
        is_file = isinstance(value, bytes)
        head = f'Content-Disposition: form-data; name="{name}"' + ('; filename="a.png"' if is_file else "")
        lines += [b"--x", head.encode(), b"", value if isinstance(value, bytes) else value.encode()]
    body = b"\r\n".join([*lines, b"--x--", b""])
    return {"body": body, "headers": {"Content-Type": "multipart/form-data; boundary=x"}}


@pytest.fixture
def able(services: Services) -> None:
    """Let the model begin from pictures."""
    entry = services.catalog.models["tiny"]
    capabilities = msgspec.structs.replace(entry.capabilities, image_to_image=True, inpainting=True)
    services.catalog.models["tiny"] = msgspec.structs.replace(entry, capabilities=capabilities)


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("name", ["image", "image[]"])
@pytest.mark.parametrize("path", ["/v1/images/edits", "/v1/images/variations"])
def test_a_picture_is_taken_in_and_drawn_from(
    client: TestClient, services: Services, drawing: Drawing, path: str, name: str
) -> None:
    sent = form((name, png_of()), ("prompt", "a castle"), ("n", "2"), ("strength", "0.5"), ("input_fidelity", "high"))
    with drawing():
        answer = client.simulate_post(path, **sent)
    assert answer.status_code == 200, answer.text
    assert len(answer.json["data"]) == 2
    job = only_job(services)
    assert (job.effective_settings.strength, job.mask) == (0.5, None)
    with Image.open(io.BytesIO(services.inputs.read(job.image.id))) as stored:
        assert (stored.size, stored.getpixel((0, 0))) == ((64, 64), (255, 0, 0))


@pytest.mark.usefixtures("able")
def test_what_is_transparent_in_a_mask_is_drawn_anew(client: TestClient, services: Services, drawing: Drawing) -> None:
    sent = form(("image", png_of()), ("mask", half_transparent()), ("prompt", "a castle"), ("stream", "true"))
    with drawing():
        told = events(client.simulate_post("/v1/images/edits", **sent))
    assert [name for name, _ in told] == ["image_edit.completed"]
    with Image.open(io.BytesIO(services.inputs.read(only_job(services).mask.id))) as mask:
        assert (mask.mode, mask.getpixel((0, 0)), mask.getpixel((63, 0))) == ("L", 255, 0)


def test_where_no_model_takes_pictures_that_is_said_and_nothing_is_stored(
    client: TestClient, services: Services
) -> None:
    answer = client.simulate_post("/v1/images/edits", **form(("image", png_of()), ("prompt", "a castle")))
    error = answer.json["error"]
    assert (answer.status_code, error["param"]) == (400, "image")
    assert "no model here can" in error["message"]
    assert not list(services.layout.inputs.rglob("*.png"))


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(
    ("parts", "param", "word"),
    [
        ([("image", png_of())], "prompt", "prompt is missing"),
        ([("prompt", "x")], "image", "Missing required fields: image"),
        ([("prompt", "x"), ("image", b"no picture")], "image", "no PNG, JPEG or WebP"),
        ([("prompt", "x"), ("image", png_of()), ("image[]", png_of())], "image", "given 2 times"),
        ([("prompt", "x"), ("image", png_of()), ("mask", png_of())], "mask", "no transparent part"),
        ([("prompt", "x"), ("image", png_of(size=(32, 32))), ("mask", half_transparent())], "mask", "as large as"),
        ([("prompt", "x"), ("image", png_of()), ("n", "many")], "n", "n is"),
        ([("prompt", "x"), ("image", png_of()), ("n", "0")], "n", "from 1 to 8"),
        ([("prompt", "x"), ("image", png_of()), ("strength", "2")], "strength", "strength is 2"),
        ([("prompt", "x"), ("image", png_of()), ("size", "65x64")], "size", "size (its width) is 65"),
        ([("prompt", b"\xff"), ("image", png_of())], "prompt", "not UTF-8"),
    ],
)
def test_a_form_that_is_wrong_is_told_so(client: TestClient, parts: Any, param: str, word: str) -> None:
    answer = client.simulate_post("/v1/images/edits", **form(*parts))
    assert (answer.status_code, answer.json["error"]["param"]) == (400, param)
    assert word in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "multipart/form-data; boundary=x", 411),
        (b"--y--", "multipart/form-data; boundary=x", 400),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 400),
        (form(("prompt", "x"))["body"][:-9], "multipart/form-data; boundary=x", 400),
        (form(("prompt", "x"))["body"], "multipart/form-data", 400),
        (form(*[("a", "b")] * 40)["body"], "multipart/form-data; boundary=x", 400),
        (b"{}", "application/json", 415),
    ],
)
def test_a_body_that_is_no_form_is_refused(client: TestClient, body: bytes, kind: str, status: int) -> None:
    answer = client.simulate_post("/v1/images/edits", body=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json["error"]["type"]) == (status, "invalid_request_error")


@pytest.mark.usefixtures("able")
def test_a_repeated_edit_meets_its_job_though_the_form_is_written_anew(
    client: TestClient, services: Services, drawing: Drawing
) -> None:
    with drawing():
        for tries in ("0", "1"):
            sent = form(("image", png_of()), ("prompt", "a castle"))
            sent["headers"]["X-Stainless-Retry-Count"] = tries
            assert client.simulate_post("/v1/images/edits", **sent).status_code == 200
    assert only_job(services)
