"""The door `/sdapi/v1`: what its answers hold, how its words become ours, and whose jobs it shows and stops."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from falcon.testing import TestClient
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from http_api.app import create_app
from jobs.schema import JobError, State
from jobs.spool import Spool
from service.services import Services
from tests.browser.stand_in import StandIn
from tests.programs import wait_until

Drawing = Callable[[], Any]
PATH = "/sdapi/v1/txt2img"
IDLE = {
    "skipped": False, "interrupted": False, "stopping_generation": False, "job": "", "job_count": 0,
    "job_timestamp": "0", "job_no": 0, "sampling_step": 0, "sampling_steps": 0,
}  # fmt: skip


@pytest.fixture
def call(client: TestClient, drawing: Drawing) -> Callable[..., Any]:
    """Send a body, and have it drawn; returns the answer's JSON, with `info` decoded."""

    def send(**body: Any) -> Any:
        with drawing():
            answer = client.simulate_post(PATH, json={"prompt": "a castle", **body})
        assert answer.status_code == 200, answer.text
        return {**answer.json, "info": json.loads(answer.json["info"])}

    return send


def only_job(services: Services) -> Any:
    (found,) = [services.spool.find(job_id) for state in State for job_id in services.spool.ids(state)]
    return found[1]


def test_pictures_come_in_base64_without_a_prefix_and_with_all_that_is_known(call: Callable[..., Any]) -> None:
    sent = {"batch_size": 2, "n_iter": 2, "seed": 7, "steps": 3, "cfg_scale": 2, "negative_prompt": "fog"}
    answer = call(**sent, sampler_name="DPM++ 2M Karras", override_settings=None, alwayson_scripts={"x": {"args": []}})
    assert len(answer["images"]) == 4
    for image in answer["images"]:
        with Image.open(io.BytesIO(base64.b64decode(image, validate=True))) as found:
            assert found.format == "PNG"
    info = answer["info"]
    assert info["all_seeds"] == [7, 8, 9, 10]
    assert (info["prompt"], info["negative_prompt"], info["steps"], info["cfg_scale"]) == ("a castle", "fog", 3, 2)
    assert len(info["infotexts"]) == len(info["all_prompts"]) == 4
    assert info["infotexts"][0].startswith("a castle\nNegative prompt: fog\nSteps: 3, ")
    assert "Seed: 7" in info["infotexts"][0]
    assert len(info["job_timestamp"]) == 14
    assert answer["parameters"]["batch_size"] == 2


def test_what_is_not_sent_is_the_models_own(call: Callable[..., Any], services: Services) -> None:
    call(steps=None, width=None, seed=-1, sampler_index="Euler a")
    used = only_job(services).effective_settings
    assert (used.num_inference_steps, used.width, used.height, used.guidance_scale) == (4, 64, 64, 3.0)


def test_images_may_be_left_out(call: Callable[..., Any]) -> None:
    answer = call(send_images=False)
    assert (answer["images"], len(answer["info"]["infotexts"])) == ([], 1)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"steps": 0}, "steps is 0; it must be an integer from 1"),
        ({"width": 65}, "width is 65"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 3, "n_iter": 3}, "batch_size x n_iter is 9; it must be at most 8"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": 5}, "prompt is 5"),
        ({"cfg_scale": "high"}, "cfg_scale"),
        ({"override_settings": {"sd_model_checkpoint": "far"}}, "sd_model_checkpoint is"),
        ({"override_settings": {"sd_model_checkpoint": 5}}, "it must be one of tiny"),
        ({"override_settings": []}, "override_settings"),
    ],
)
def test_a_fault_is_named_in_the_words_of_the_web_ui(client: TestClient, body: dict[str, Any], word: str) -> None:
    answer = client.simulate_post(PATH, json={"prompt": "a castle", **body})
    assert answer.status_code == 422
    assert word in answer.json["detail"]
    assert "settings." not in answer.json["detail"]


def test_a_sampler_that_nobody_knows_is_not_found(client: TestClient) -> None:
    answer = client.simulate_post(PATH, json={"prompt": "a castle", "sampler_name": "Magic"})
    assert (answer.status_code, "DPM++ 2M" in answer.json["detail"]) == (404, True)


def test_a_job_that_fails_says_why(client: TestClient, begin_first: Callable[..., None]) -> None:
    begin_first(lambda held: held.fail(JobError(type="out_of_memory", message="It is too large.")))
    answer = client.simulate_post(PATH, json={"prompt": "a castle"})
    assert (answer.status_code, answer.json["error"], answer.json["detail"]) == (
        500,
        "out_of_memory",
        "It is too large.",
    )


# --- Progress and interrupts ----------------------------------------------------------------------


class Waiting:
    """A call of this address that waits while a test looks at it."""

    def __init__(self, client: TestClient, spool: Spool, address: str = "10.0.0.1") -> None:
        self.answer: Any = None
        self.worker = StandIn(spool.layout.data)
        before = set(spool.ids(State.PENDING))
        self._thread = threading.Thread(target=self._send, args=(client, address))
        self._thread.start()
        (self.job_id,) = wait_until(lambda: set(spool.ids(State.PENDING)) - before)

    def _send(self, client: TestClient, address: str) -> None:
        self.answer = client.simulate_post(PATH, json={"prompt": "a castle", "batch_size": 2}, remote_addr=address)

    def end(self) -> Any:
        """The answer, which must be about to come."""
        self._thread.join()
        return self.answer


def progress(client: TestClient, address: str = "10.0.0.1", **params: str) -> Any:
    found = client.simulate_get("/sdapi/v1/progress", params=params, remote_addr=address)
    assert found.status_code == 200, found.text
    return found.json


def test_progress_is_that_of_the_callers_job_and_idle_is_exactly_idle(client: TestClient, services: Services) -> None:
    idle = {"progress": 0.0, "eta_relative": 0.0, "state": IDLE, "current_image": None, "textinfo": None}
    assert progress(client) == idle
    call = Waiting(client, services.spool)
    waiting = wait_until(lambda: (it := progress(client))["state"]["job_count"] and it)
    assert (waiting["progress"], waiting["state"]["job_count"]) == (0.0, 2)
    held = call.worker.begin(call.job_id, step=2)
    call.worker.show(held)
    drawn = progress(client)
    assert (drawn["progress"], drawn["state"]["sampling_step"], drawn["state"]["sampling_steps"]) == (0.25, 2, 4)
    with Image.open(io.BytesIO(base64.b64decode(drawn["current_image"]))) as preview:
        assert preview.format == "PNG"
    assert progress(client, skip_current_image="true")["current_image"] is None
    assert progress(client, address="10.0.0.2") == idle
    call.worker.finish(held)
    assert len(call.end().json["images"]) == 2
    assert progress(client) == idle


@pytest.mark.parametrize("path", ["/sdapi/v1/interrupt", "/sdapi/v1/skip"])
def test_an_interrupt_stops_the_callers_own_job_only(client: TestClient, services: Services, path: str) -> None:
    own, other = Waiting(client, services.spool), Waiting(client, services.spool, "10.0.0.2")
    wait_until(lambda: progress(client)["state"]["job_count"])
    assert client.simulate_post(path, remote_addr="10.0.0.3").json == {}
    assert client.simulate_post(path, remote_addr="10.0.0.1").json == {}
    answer = own.end()
    assert (answer.status_code, answer.json["images"]) == (200, [])
    assert services.spool.find(own.job_id)[0] is State.CANCELLED
    assert services.spool.find(other.job_id)[0] is State.PENDING
    other.worker.draw_pending()
    assert len(other.end().json["images"]) == 2


def test_of_several_calls_the_one_that_is_drawn_is_interrupted(client: TestClient, services: Services) -> None:
    first, second = Waiting(client, services.spool), Waiting(client, services.spool)
    wait_until(lambda: len(list(services.layout.callers.iterdir())) == 2)
    held = second.worker.begin(second.job_id)
    client.simulate_post("/sdapi/v1/interrupt", remote_addr="10.0.0.1")
    assert services.spool.cancel_requested(second.job_id)
    assert not services.spool.cancel_requested(first.job_id)
    held.cancel()
    first.worker.draw_pending()
    assert [first.end().status_code, second.end().status_code] == [200, 200]


# --- Options and lists ----------------------------------------------------------------------------


def test_a_chosen_model_is_the_callers_and_lasts_over_restarts(
    client: TestClient, services: Services, drawing: Drawing
) -> None:
    services.catalog.models["other"] = services.catalog.models["tiny"]
    (services.settings.data.parent / "models" / "other").mkdir()
    (services.settings.data.parent / "models" / "other" / "model_index.json").write_text("{}", encoding="utf-8")
    chosen = {"sd_model_checkpoint": "other [0123abcd]", "samples_format": "jpg", "unknown": 1}
    assert client.simulate_post("/sdapi/v1/options", json=chosen, remote_addr="10.0.0.1").json == {}
    restarted = TestClient(create_app(services))
    for address, model in (("10.0.0.1", "other"), ("10.0.0.2", "tiny")):
        found = restarted.simulate_get("/sdapi/v1/options", remote_addr=address).json
        assert found == {"sd_model_checkpoint": model, "samples_format": "png"}
        with drawing():
            answer = restarted.simulate_post(PATH, json={"prompt": "a castle"}, remote_addr=address)
        assert json.loads(answer.json["info"])["sd_model_name"] == model
    del services.catalog.models["other"]
    assert restarted.simulate_get("/sdapi/v1/options", remote_addr="10.0.0.1").json["sd_model_checkpoint"] == "tiny"
    with drawing():
        answer = restarted.simulate_post(PATH, json={"prompt": "a castle"}, remote_addr="10.0.0.1")
    assert json.loads(answer.json["info"])["sd_model_name"] == "tiny"


def test_a_model_that_is_not_here_cannot_be_chosen(client: TestClient) -> None:
    answer = client.simulate_post("/sdapi/v1/options", json={"sd_model_checkpoint": "far"})
    assert (answer.status_code, "it must be one of tiny" in answer.json["detail"]) == (422, True)
    assert client.simulate_post("/sdapi/v1/options", json={}).json == {}


def test_lists_have_the_form_that_clients_read(client: TestClient) -> None:
    def names(path: str, key: str) -> list[str]:
        return [entry[key] for entry in client.simulate_get(f"/sdapi/v1/{path}").json]

    assert names("sd-models", "title") == names("sd-models", "model_name") == ["tiny"]
    assert {"Euler", "Euler a", "DPM++ 2M"} <= set(names("samplers", "name"))
    assert {"Automatic", "Karras"} <= set(names("schedulers", "label"))
    for empty in ("upscalers", "latent-upscale-modes", "loras", "sd-vae"):
        assert client.simulate_get(f"/sdapi/v1/{empty}").json == []
    memory = client.simulate_get("/sdapi/v1/memory").json["ram"]
    assert memory["free"] + memory["used"] == memory["total"] > 0


# --- From a picture -------------------------------------------------------------------------------


def png_of(*, left: str = "red", right: str = "red", text: str | None = None) -> str:
    """A picture in base64."""
    picture = Image.new("RGB", (64, 64), right)
    picture.paste(left, (0, 0, 32, 64))
    stream, info = io.BytesIO(), PngInfo()
    if text is not None:
        info.add_text("parameters", text)
    picture.save(stream, "PNG", pnginfo=info)
    return base64.b64encode(stream.getvalue()).decode()


@pytest.fixture
def able(services: Services) -> None:
    """Let the model begin from pictures."""
    entry = services.catalog.models["tiny"]
    capabilities = msgspec.structs.replace(entry.capabilities, image_to_image=True, inpainting=True)
    services.catalog.models["tiny"] = msgspec.structs.replace(entry, capabilities=capabilities)


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(("invert", "white_at"), [(0, 0), (1, 63)])
def test_a_picture_is_taken_in_with_its_mask(
    client: TestClient, services: Services, drawing: Drawing, invert: int, white_at: int
) -> None:
    body = {
        "prompt": "a castle", "init_images": ["data:image/png;base64," + png_of()], "inpainting_mask_invert": invert,
        "mask": png_of(left="white", right="black"), "width": 64, "height": 64,
    }  # fmt: skip
    with drawing():
        answer = client.simulate_post("/sdapi/v1/img2img", json=body)
    assert answer.status_code == 200, answer.text
    assert (answer.json["parameters"]["init_images"], answer.json["parameters"]["mask"]) == (None, None)
    assert json.loads(answer.json["info"])["denoising_strength"] == 0.75
    job = only_job(services)
    with Image.open(io.BytesIO(services.inputs.read(job.mask.id))) as mask:
        assert mask.convert("L").getpixel((white_at, 0)) == 255


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"init_images": []}, "init_images has 0 pictures"),
        ({"init_images": [png_of(), png_of()]}, "init_images has 2 pictures"),
        ({"init_images": ["???"]}, "not valid base64"),
        ({"init_images": ["AAAA"]}, "init_images is no PNG"),
        ({"init_images": None}, "init_images"),
        ({"mask": "AAAA"}, "mask is no PNG"),
        ({"denoising_strength": 3}, "denoising_strength is 3"),
    ],
)
def test_a_picture_that_is_wrong_is_told_so(client: TestClient, change: dict[str, Any], word: str) -> None:
    body = {"prompt": "a castle", "init_images": [png_of()], **change}
    answer = client.simulate_post("/sdapi/v1/img2img", json=body)
    assert (answer.status_code, word in answer.json["detail"]) == (422, True), answer.text


def test_where_no_model_takes_pictures_that_is_said(client: TestClient) -> None:
    answer = client.simulate_post("/sdapi/v1/img2img", json={"prompt": "a castle", "init_images": [png_of()]})
    assert answer.status_code == 422
    assert answer.json["detail"].startswith("init_images is given, but tiny cannot")
    assert "no model here can" in answer.json["detail"]


def test_parameters_are_read_from_a_picture(client: TestClient) -> None:
    line = 'a castle\non a hill\nNegative prompt: fog\nSteps: 20, Sampler: Euler a, Size: 64x64, Model: "a, b: c"'
    answer = client.simulate_post("/sdapi/v1/png-info", json={"image": png_of(text=line)}).json
    assert (answer["info"], answer["items"]) == (line, {"parameters": line})
    assert answer["parameters"] == {
        "Prompt": "a castle\non a hill",
        "Negative prompt": "fog",
        "Steps": "20",
        "Sampler": "Euler a",
        "Size": "64x64",
        "Model": "a, b: c",
    }
    assert client.simulate_post("/sdapi/v1/png-info", json={"image": png_of()}).json == {
        "info": "",
        "items": {},
        "parameters": {},
    }
    for wrong in ("AAAA", "???"):
        assert client.simulate_post("/sdapi/v1/png-info", json={"image": wrong}).status_code == 422


@pytest.mark.parametrize(
    ("sampler", "schedule", "expected"),
    [
        ("Euler a", "automatic", "euler a"),
        ("DPM++ 2M", "Karras", "dpm++ 2m karras"),
        ("DPM++ 2M Karras", None, "dpm++ 2m karras"),
        ("LMS", None, None),
        (None, "Karras", None),
    ],
)
def test_a_sampler_is_used_where_the_model_has_it(
    call: Callable[..., Any], services: Services, sampler: str | None, schedule: str | None, expected: str | None
) -> None:
    weights = services.settings.data.parent / "models" / "tiny" / "model_index.json"
    weights.write_text('{"_class_name": "StableDiffusionPipeline"}', encoding="utf-8")
    call(sampler_name=sampler, scheduler=schedule)
    assert only_job(services).effective_settings.scheduler == expected
