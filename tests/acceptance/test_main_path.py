"""The main job from outside: a prompt comes in by HTTP or as a file, and pictures come out."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.acceptance.conftest import Service
from tests.programs import REPOSITORY, wait_until

QUICK = {"num_inference_steps": 3}


def submit(service: Service, **request: object) -> str:
    """Post a job for the demo model; returns its id."""
    answer = service.api.post(
        "/generate", json={"model_id": "demo", "prompt": "a red house", "settings": QUICK} | request
    )
    assert answer.status_code == httpx.codes.OK, answer.text
    return str(answer.json()["job_id"])


def test_a_prompt_becomes_pictures(service: Service) -> None:
    settings = {"num_images": 2, "num_inference_steps": 4, "guidance_scale": 4.5, "seed": 11}
    answer = service.api.post(
        "/generate",
        json={"model_id": "demo", "prompt": "a red house", "negative_prompt": "rain", "settings": settings},
    )
    assert answer.status_code == httpx.codes.OK
    body = answer.json()
    assert body["status"] == "pending"
    assert body["num_images"] == 2
    assert body["message"] == "Image generation job submitted successfully for 2 image(s)"
    assert answer.headers["Location"] == f"/api/status/{body['job_id']}"

    status = service.api.wait_for(body["job_id"], "completed")
    assert status["message"] == "Generated 2 image(s)"
    assert status["progress"]["step"] == status["progress"]["total_steps"] == 4
    assert status["settings"] == settings
    assert [image["metadata"]["image_number"] for image in status["images"]] == [1, 2]

    for number, image in enumerate(status["images"]):
        png = service.api.get(f"/get_image/{image['id']}")
        assert png.headers["Content-Type"] == "image/png"
        picture = Image.open(io.BytesIO(png.content))
        assert picture.size == (256, 256)
        assert "a red house" in picture.text["parameters"]  # type: ignore[attr-defined]
        path = service.data / "outputs" / image["file_path"]
        assert path.read_bytes() == png.content
        sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert sidecar["sha256"] == hashlib.sha256(png.content).hexdigest()
        metadata = service.api.get(f"/image/{image['id']}/metadata").json()
        assert metadata["negative_prompt"] == "rain"
        assert metadata["seed"] == 11 + number
        assert metadata["generation_time"] == pytest.approx(time.time(), abs=600)


def test_each_image_can_be_made_again_alone(service: Service) -> None:
    both = service.api.wait_for(submit(service, settings=QUICK | {"num_images": 2, "seed": 5}), "completed")
    alone = service.api.wait_for(submit(service, settings=QUICK | {"seed": 6}), "completed")
    second, again = both["images"][1]["id"], alone["images"][0]["id"]
    assert _pixels(service, second) == _pixels(service, again)


def _pixels(service: Service, image_id: str) -> bytes:
    return Image.open(io.BytesIO(service.api.get(f"/get_image/{image_id}").content)).tobytes()


def test_a_size_larger_than_the_model_draws_is_enlarged(service: Service) -> None:
    settings = {"num_inference_steps": 1, "height": 1024, "width": 1024, "max_sequence_length": 512}
    status = service.api.wait_for(submit(service, settings=settings), "completed")
    assert any("enlarged to 1024x1024" in warning for warning in status["warnings"])
    (image,) = status["images"]
    assert (image["metadata"]["settings"]["width"], image["metadata"]["width"]) == (1024, 1024)
    png = service.api.get(f"/get_image/{image['id']}").content
    assert Image.open(io.BytesIO(png)).size == (1024, 1024)


def test_a_deleted_image_is_gone_everywhere(service: Service) -> None:
    job_id = submit(service)
    image_id = service.api.wait_for(job_id, "completed")["images"][0]["id"]
    wait_until(lambda: image_id in service.api.get("/gallery").text, about="the image in the gallery")
    deleted = httpx.delete(f"{service.api.base}/api/image/{image_id}")
    assert deleted.json() == {"status": "success", "message": "Image deleted successfully"}
    assert httpx.delete(f"{service.api.base}/api/image/{image_id}").status_code == httpx.codes.NOT_FOUND
    assert service.api.get(f"/get_image/{image_id}").status_code == httpx.codes.NOT_FOUND
    assert service.api.status(job_id)["images"] == []
    assert image_id not in service.api.get("/gallery").text


def test_queue_and_gallery_count_what_happened(service: Service) -> None:
    before = service.api.get("/queue").json()
    submit_and_wait = service.api.wait_for(submit(service, prompt="a quokka in a teapot"), "completed")
    after = wait_until(
        lambda: (now := service.api.get("/queue").json())["completed"] == before["completed"] + 1 and now,
        10,
        "the count",
    )
    assert after["total"] == before["total"] + 1
    assert after["queue_size"] == after["pending"]
    detailed = service.api.get("/queue?detailed=true").json()
    assert detailed["models"]["demo"]["completed"] >= 1
    assert detailed["avg_processing_time_seconds"] > 0
    found = service.api.get("/gallery?search=TEAPOT+quokka&model=demo").json()
    assert [image["id"] for image in found["images"]] == [submit_and_wait["images"][0]["id"]]
    assert (found["total"], found["has_more"]) == (1, False)


@pytest.mark.parametrize("how", ["copied", "written slowly", "moved", "linked"])
def test_a_dropped_file_becomes_a_job(service: Service, how: str) -> None:
    figure, slack = 2.5, 2.0  # of the contract; for a busy machine, which gets three tries
    seconds = []
    for number in range(3):
        name = f"drop-{how.replace(' ', '-')}-{number}"
        target = drop(service, name, how)
        begun = time.monotonic()
        wait_until(lambda name=name: service.api.get(f"/status/{name}").status_code == 200, about="the adoption")  # type: ignore[misc]
        seconds.append(time.monotonic() - begun)
        assert service.api.wait_for(name, "completed")["images"]
        assert not target.exists()
        if seconds[-1] < figure + slack:
            break
    assert min(seconds) < figure + slack


def drop(service: Service, name: str, how: str) -> Path:
    """Bring a job file into the drop zone in one of the ways that people do; returns where it lies."""
    content = json.dumps({"id": name, "model_id": "demo", "prompt": "a castle", "settings": QUICK})
    source = service.data / f"{name}.json"
    target = service.incoming / f"{name}.json"
    source.write_text(content, encoding="utf-8")
    if how == "copied":
        shutil.copy(source, target)
    elif how == "moved":
        os.rename(source, target)
    elif how == "linked":
        os.link(source, target)
    else:
        with target.open("w", encoding="utf-8") as stream:
            for character in content:
                stream.write(character)
                stream.flush()
    return target


def test_a_bad_drop_is_kept_with_the_reason(service: Service) -> None:
    content = b'{"model_id": "demo", "prompt": "a castle", "settings": {"num_images": 99}}'
    (service.incoming / "bad.json").write_bytes(content)
    rejected = service.data / "spool" / "rejected" / "bad.json"
    wait_until(rejected.exists, about="the refusal")
    assert rejected.read_bytes() == content
    reason = wait_until(lambda: next(rejected.parent.glob("bad.json*.reason.json"), None), about="the reason")
    message = json.loads(reason.read_text(encoding="utf-8"))["message"]
    assert "num_images" in message
    assert "99" in message


def test_the_client_of_the_specification_runs(service: Service, tmp_path: Path) -> None:
    environment = os.environ | {"API_BASE": f"{service.api.base}/api", "POLL_SECONDS": "0.1"}
    command = [sys.executable, str(REPOSITORY / "examples" / "spec_client.py"), "demo"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Saved image 2/2" in done.stdout
    for number in (1, 2):
        Image.open(tmp_path / f"generated_image_{number}.png").verify()


JSON = ["-X", "POST", "-H", "Content-Type: application/json", "-d"]
GENERATE = {
    "model_id": "demo",
    "prompt": "A cyberpunk city at night with neon signs and flying cars, highly detailed",
    "negative_prompt": "blurry, low quality, distorted, bad anatomy, text, watermark",
    "settings": {"num_images": 2, "num_inference_steps": 35, "guidance_scale": 8.0, "height": 1024, "width": 1024},
}
CURLS = {
    "models": ["/models"],
    "enrich": [*JSON, '{"prompt": "a castle on a hill", "style": "fantasy"}', "/enrich"],
    "queue": ["/queue"],
    "queue in detail": ["/queue?detailed=true"],
    "gallery": ["/gallery?page=1&limit=20"],
    "gallery with search": ["/gallery?search=cyberpunk&model=flux-1"],
    "reset": ["-X", "POST", "/reset_queue"],
    "generate": [*JSON, json.dumps(GENERATE), "/generate"],
}


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("name", CURLS)
def test_the_curls_of_the_specification(service: Service, name: str) -> None:
    *options, path = CURLS[name]
    command = ["curl", "-sS", "-w", "\n%{http_code}", *options, f"{service.api.base}/api{path}"]
    body, _, code = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rpartition("\n")
    assert code == "200", body
    assert isinstance(json.loads(body), dict)


def readme_commands() -> list[str]:
    """The shell blocks of the README that talk to running programs, as they stand."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return [block for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if "make " not in block]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_commands_of_the_readme_can_be_pasted(service: Service, tmp_path: Path) -> None:
    """Pasted into one shell, where only the place of the server, the data and the programs are others than there."""
    blocks = readme_commands()
    assert len(blocks) >= 3
    (tmp_path / "var").symlink_to(service.data)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    script = "\n".join(blocks).replace("http://localhost:5050", service.api.base).replace("curl ", "curl -sS --fail ")
    script = script.replace('"num_images": 2', '"num_images": 2, "num_inference_steps": 2')
    # Fewer steps, and no command that goes on until somebody ends it.
    script = re.sub(r"(cyberimage .*) -o ", r"\1 --steps 2 -o ", script).replace(
        "cyberimage watch", "cyberimage watch --until-empty"
    )
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"CYBERIMAGE_URL": service.api.base},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    Image.open(tmp_path / "image.png").verify()
    Image.open(tmp_path / "house.png").verify()
    assert "Image deleted successfully" in done.stdout
    wait_until(lambda: service.api.get("/status/castle").status_code == httpx.codes.OK, about="the adoption")


def test_a_client_of_another_api_draws_by_its_base_url_alone(service: Service) -> None:
    """OpenAI's own library, with the real model: previews on the way, as far as there are any, and the picture."""
    from openai import OpenAI

    with OpenAI(base_url=f"{service.api.base}/v1", api_key="none") as client:
        stream = client.images.generate(
            model="gpt-image-1", prompt="a red house", size="256x256", quality="low", stream=True, partial_images=3
        )
        *previews, last = list(stream)
    assert {event.type for event in previews} <= {"image_generation.partial_image"}
    assert last.type == "image_generation.completed"
    with Image.open(io.BytesIO(base64.b64decode(last.b64_json))) as picture:
        assert (picture.format, picture.size) == ("PNG", (256, 256))
        assert len(picture.convert("RGB").getcolors(1 << 17) or []) > 1000
