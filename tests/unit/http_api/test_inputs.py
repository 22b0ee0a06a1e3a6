"""Pictures over HTTP: sending one, naming it in a request, and what is refused."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import Result, TestClient
from msgspec import structs
from PIL import Image

from core.settings import RateLimit
from http_api.api import inputs as resource
from jobs.catalog import Catalog
from jobs.schema import Job, State
from jobs.spool import Spool
from outputs import decoding
from outputs.inputs import SPARED_SECONDS
from outputs.sidecar import Sidecar
from service.rate_limit import Limited, RateLimiter
from service.services import Services

BODY: dict[str, Any] = {"model_id": "tiny", "prompt": "a castle"}


@pytest.fixture
def catalog(catalog: Catalog) -> Catalog:
    """A catalog whose `tiny` model is of a class that draws from pictures, too."""
    index = catalog.path("tiny") / "model_index.json"
    index.write_text('{"_class_name": "StableDiffusionPipeline"}', encoding="utf-8")
    return catalog


def encoded(
    size: tuple[int, int] = (48, 32), kind: str = "PNG", colour: Any = (10, 200, 30), mode: str = "RGB"
) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, colour).save(stream, kind)
    return stream.getvalue()


def data_url(raw: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"


def send(client: TestClient, raw: bytes, kind: str = "image/png") -> Result:
    return client.simulate_post("/api/inputs", body=raw, headers={"Content-Type": kind})


def generate(client: TestClient, *, headers: dict[str, str] | None = None, **fields: Any) -> Result:
    return client.simulate_post("/api/generate", json=BODY | fields, headers=headers)


def job_of(services: Services, answer: Result) -> Job:
    assert answer.status_code == 200, answer.json
    return services.spool.find(answer.json["job_id"])[1]


def files_of(services: Services) -> list[Path]:
    return sorted(services.layout.inputs.rglob("*.png"))


# --- Sending --------------------------------------------------------------------------------------


def test_a_picture_is_stored_once_under_its_content(client: TestClient, services: Services) -> None:
    first, again = send(client, encoded()), send(client, encoded())
    assert first.status_code == 200
    assert first.json == again.json
    assert (first.json["width"], first.json["height"]) == (48, 32)
    assert first.json["id"] == f"in_{first.json['sha256']}"
    (path,) = files_of(services)
    assert path == services.layout.inputs / first.json["sha256"][:2] / f"{first.json['sha256']}.png"
    assert path.stat().st_size == first.json["size_bytes"]
    got = client.simulate_get(first.headers["Location"])
    assert got.content == path.read_bytes()
    assert Image.open(io.BytesIO(got.content)).getpixel((3, 3)) == (10, 200, 30)
    assert (
        client.simulate_get(first.headers["Location"], headers={"If-None-Match": got.headers["ETag"]}).status_code
        == 304
    )
    part = client.simulate_get(first.headers["Location"], headers={"Range": "bytes=0-7"})
    assert (part.status_code, part.content) == (206, b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize(("kind", "type_sent"), [("JPEG", "image/jpeg"), ("WEBP", "application/octet-stream")])
def test_other_formats_become_a_png(client: TestClient, kind: str, type_sent: str) -> None:
    answer = send(client, encoded(kind=kind), type_sent)
    stored = client.simulate_get(answer.headers["Location"]).content
    assert Image.open(io.BytesIO(stored)).format == "PNG"


def form(*parts: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A form with parts of these names; one whose name has a dot is a file."""
    body = b""
    for name, content in parts:
        file = f'; filename="{name}"' if "." in name else ""
        body += f'--b0und\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"
    return body + b"--b0und--\r\n", {"Content-Type": "multipart/form-data; boundary=b0und"}


def test_a_form_may_bring_it(client: TestClient) -> None:
    body, headers = form(("note", b"hello"), ("cat.png", encoded()))
    answer = client.simulate_post("/api/inputs", body=body, headers=headers)
    assert answer.json == send(client, encoded()).json


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((("a.png", b"x"), ("b.png", b"y")), "The form has 2 files; send exactly one."),
        ((), "The form has 0 files; send exactly one."),
    ],
)
def test_a_form_without_one_file_is_refused(
    client: TestClient, parts: tuple[tuple[str, bytes], ...], sentence: str
) -> None:
    body, headers = form(*parts)
    answer = client.simulate_post("/api/inputs", body=body, headers=headers)
    assert (answer.status_code, answer.json["message"]) == (400, sentence)


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + "x" * 80, "; boundary=other"])
def test_a_form_that_cannot_be_read_is_refused(client: TestClient, boundary: str) -> None:
    body, _ = form(("cat.png", encoded()))
    headers = {"Content-Type": f"multipart/form-data{boundary}"}
    assert client.simulate_post("/api/inputs", body=body, headers=headers).status_code == 400


def test_what_is_no_picture_is_refused_in_a_sentence(client: TestClient, services: Services) -> None:
    answer = send(client, b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert answer.status_code == 400
    assert answer.json["message"] == "image is no PNG, JPEG or WebP picture; send one of these."
    assert send(client, b"x", "image/png").status_code == 400
    answer = send(client, encoded(), "text/html")
    assert answer.status_code == 415
    assert "image/png" in answer.json["message"]
    assert files_of(services) == []


def test_a_body_beyond_the_limit_is_refused_unread(client: TestClient) -> None:
    answer = client.simulate_post(
        "/api/inputs", headers={"Content-Type": "image/png", "Content-Length": str(resource.BODY_LIMIT + 1)}
    )
    assert answer.status_code == 413


def test_an_input_that_is_not_there_is_404(client: TestClient) -> None:
    for name in ("in_" + "0" * 64, "in_0", "x"):
        assert client.simulate_get(f"/api/inputs/{name}").status_code == 404


def test_a_damaged_file_is_never_served_and_mended_by_sending_it_again(client: TestClient, services: Services) -> None:
    sent = send(client, encoded())
    (path,) = files_of(services)
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    answer = client.simulate_get(sent.headers["Location"])
    assert (answer.status_code, answer.json["error_type"]) == (500, "damaged")
    assert "damaged" in generate(client, image=sent.json["id"]).json["message"]
    assert send(client, encoded()).json == sent.json
    assert client.simulate_get(sent.headers["Location"]).status_code == 200


def test_new_pictures_are_limited_as_jobs_are_and_known_ones_are_free(
    services: Services, client_with: Callable[..., TestClient]
) -> None:
    limiter = RateLimiter(services.layout.rate_limits, RateLimit(amount=1, seconds=3600), kind=Limited.INPUTS)
    client = client_with(input_limiter=limiter)
    assert send(client, encoded()).status_code == 200
    assert send(client, encoded()).status_code == 200
    answer = send(client, encoded(colour=(1, 2, 3)))
    assert answer.status_code == 429
    assert "1 pictures per hour" in answer.json["message"]
    assert len(files_of(services)) == 1


def test_a_disk_without_room_refuses_a_picture(services: Services, client_with: Callable[..., TestClient]) -> None:
    full = Spool(services.layout, reserve_bytes=1 << 60)
    answer = send(client_with(spool=full), encoded())
    assert (answer.status_code, answer.json["error_type"]) == (503, "storage")
    assert files_of(services) == []
    answer = generate(client_with(spool=full), image=data_url(encoded()))
    assert answer.status_code == 503
    assert files_of(services) == []


# --- In a request ---------------------------------------------------------------------------------


def test_a_job_keeps_the_picture_by_its_id_however_it_was_named(
    client: TestClient, services: Services, draw: Callable[..., Sidecar]
) -> None:
    sent = send(client, encoded()).json["id"]
    by_id = job_of(services, generate(client, image=sent))
    by_url = job_of(services, generate(client, image=data_url(encoded())))
    image = draw(by_id, png=encoded()).id
    by_image = job_of(services, generate(client, image=image))
    assert by_id.image == by_url.image
    assert by_id.image is not None
    assert (by_id.image.id, by_id.image.width, by_id.image.height, by_id.image.source) == (sent, 48, 32, None)
    assert by_image.image is not None
    assert (by_image.image.id, by_image.image.source) == (sent, image)
    assert "base64" not in Path(services.spool.path(State.PENDING, by_url.id)).read_text(encoding="utf-8")
    status = client.simulate_get(f"/api/status/{by_image.id}").json
    assert status["image"] == {"id": sent, "width": 48, "height": 32, "source": image}
    assert status["mask"] is None


def test_the_size_follows_the_picture_unless_it_is_said(client: TestClient, services: Services) -> None:
    def size(picture: tuple[int, int], mask: bool = False, **settings: int) -> tuple[int, int]:
        fields: dict[str, Any] = {"image": data_url(encoded(picture)), "settings": settings}
        fields |= {"mask": data_url(encoded(picture, mode="L", colour=255))} if mask else {}
        effective = job_of(services, generate(client, **fields)).effective_settings
        return effective.width, effective.height

    assert size((48, 32)) == (48, 32)
    assert size((50, 33)) == (48, 32)
    assert size((400, 200)) == (88, 40)  # as many pixels as the model usually draws, in steps of 8
    assert size((100, 80), mask=True) == (96, 80)  # where part is kept, its own size
    assert size((4000, 2000), mask=True) == (128, 64)
    assert size((400, 200), width=64) == (64, 32)
    assert size((400, 200), height=64) == (128, 64)
    assert size((400, 200), height=16, width=16) == (16, 16)
    assert size((4, 4)) == (16, 16)
    assert size((3000, 2)) == (128, 16)


def test_strength_is_the_models_unless_it_is_sent_and_nothing_without_a_picture(
    client: TestClient, services: Services
) -> None:
    image = data_url(encoded())

    def strength(**settings: Any) -> float | None:
        return job_of(services, generate(client, image=image, settings=settings)).effective_settings.strength

    assert (strength(), strength(strength=0.3), strength(strength=None), strength(strength=1)) == (0.6, 0.3, 0.6, 1.0)
    plain = generate(client, settings={"strength": 0.3})
    assert plain.json["warnings"] == ["settings.strength is ignored: there is no image to begin from."]
    assert job_of(services, plain).effective_settings.strength is None
    shown = client.simulate_get(f"/api/status/{generate(client, image=image).json['job_id']}").json
    assert shown["progress"]["total_steps"] == 2  # 0.6 of 4


def test_a_picture_that_is_continued_is_larger_by_its_margins(client: TestClient, services: Services) -> None:
    job = job_of(services, generate(client, image=IMAGE, settings={"outpaint": {"left": 16, "bottom": 8}}))
    assert (job.effective_settings.width, job.effective_settings.height) == (64, 40)
    none = job_of(services, generate(client, image=IMAGE, settings={"outpaint": {}}))
    assert none.effective_settings.outpaint is None


IMAGE = data_url(encoded())
MASK = data_url(encoded(mode="L", colour=255))

REFUSED = [
    ({"mask": MASK}, "mask", "mask is given without image; send the picture that it is about."),
    ({"settings": {"outpaint": {"left": 8}}}, "settings.outpaint", "settings.outpaint is given without image"),
    ({"image": IMAGE, "mask": data_url(encoded((8, 8)))}, "mask", "mask is 8x8; it must be as large as image, 48x32."),
    ({"image": IMAGE, "settings": {"strength": 0}}, "settings.strength", "must be a number above 0 and at most 1."),
    ({"image": IMAGE, "settings": {"strength": 1.01}}, "settings.strength", "must be a number above 0 and at most 1."),
    (
        {"image": IMAGE, "settings": {"strength": 0.2}},
        "settings.strength",
        "settings.strength x settings.num_inference_steps is 0.2x4; tiny needs at least 1 together",
    ),
    ({"image": IMAGE, "settings": {"outpaint": {"left": -1}}}, "settings.outpaint.left", "an integer from 0 to 8192"),
    ({"image": "in_" + "0" * 64}, "image", "there is no such picture, or no more. Send it to /api/inputs again."),
    ({"image": "img_" + "0" * 32 + "_1"}, "image", "there is no such image, or no more."),
    ({"image": "https://example/cat.png"}, "image", "or a data: URL; nothing is fetched."),
    ({"image": "/etc/passwd"}, "image", "image is \"/etc/passwd\"; it must be the id of an input"),
    ({"image": "cat.png"}, "image", "nothing is fetched."),
    ({"image": "data:image/svg+xml;base64,AAAA"}, "image", "must begin with data:image/png;base64,"),
    ({"image": "data:image/png;base64,!"}, "image", "not valid base64"),
    ({"image": "data:image/png;base64,AAAA"}, "image", "image is no PNG, JPEG or WebP picture"),
    ({"image": IMAGE, "mask": "data:image/png;base64,AAAA"}, "mask", "mask is no PNG, JPEG or WebP picture"),
    ({"image": ""}, "image", "it must be the id of an input"),
    ({"image": 7}, "image", "it must be the id of an input"),
    ({"image": "data:" + "A" * (4 << 20)}, "image", "Send a larger picture to /api/inputs"),
    ({"model_id": "tiny", "settings": {"scheduler": "eular"}}, "settings.scheduler", "it must be one of ddim, "),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "field", "sentence"), REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence_and_leaves_nothing(
    client: TestClient, services: Services, fields: dict[str, Any], field: str, sentence: str
) -> None:
    answer = generate(client, **fields)
    assert answer.status_code == 400
    assert sentence in answer.json["message"]
    assert answer.json["field"] == field
    assert files_of(services) == []
    assert list(services.spool.ids(State.PENDING)) == []


def test_a_model_that_cannot_says_which_ones_can(client: TestClient, services: Services, catalog: Catalog) -> None:
    tiny = catalog.models["tiny"]
    said = structs.replace(tiny.capabilities, image_to_image=False, inpainting=False)
    catalog.models["plain"] = structs.replace(tiny, capabilities=said)  # the same weights
    answer = generate(client, model_id="plain", image=IMAGE)
    assert answer.json["message"] == "image is given, but plain cannot begin from a picture; here can: tiny."
    answer = generate(client, model_id="plain", image=IMAGE, mask=MASK)
    assert answer.json["message"] == "mask is given, but plain cannot mend or continue pictures; here can: tiny."
    models = client.simulate_get("/api/models").json["models"]
    assert (models["tiny"]["capabilities"]["image_to_image"], models["tiny"]["capabilities"]["inpainting"]) == (
        True,
        True,
    )
    assert not models["plain"]["capabilities"]["image_to_image"]
    assert "dpm++ 2m karras" in models["tiny"]["schedulers"]
    assert models["far"]["schedulers"] == []


def test_a_model_that_only_mends_asks_for_a_picture(client: TestClient, catalog: Catalog) -> None:
    (catalog.path("tiny") / "model_index.json").write_text('{"_class_name": "FluxFillPipeline"}', encoding="utf-8")
    answer = generate(client)
    assert answer.status_code == 400
    assert "tiny mends or continues pictures: send image, and mask" in answer.json["message"]
    assert generate(client, image=IMAGE).status_code == 400
    assert generate(client, image=IMAGE, mask=MASK).status_code == 200


# --- Again ----------------------------------------------------------------------------------------


def test_a_repeated_key_knows_its_pictures_also_when_they_are_gone(
    client: TestClient, services: Services, draw: Callable[..., Sidecar]
) -> None:
    image = draw(job_of(services, generate(client)), png=encoded()).id

    def key(name: str, **fields: Any) -> Result:
        return generate(client, headers={"Idempotency-Key": name}, **fields)

    first, url = key("k1", image=image), key("k2", image=IMAGE)
    stored = job_of(services, first).image
    assert stored is not None
    client.simulate_delete(f"/api/image/{image}")
    assert key("k1", image=image).json == first.json
    assert key("k1", image=stored.id).json == first.json
    assert key("k2", image=IMAGE).json == url.json
    for other in ({}, {"image": data_url(encoded(colour=(0, 0, 0)))}, {"image": IMAGE, "mask": MASK}):
        assert key("k2", **other).status_code == 422


def test_a_retry_begins_from_the_same_picture(
    client: TestClient, services: Services, begin: Callable[..., Any]
) -> None:
    fields: dict[str, Any] = {"image": IMAGE, "mask": MASK, "settings": {"strength": 0.5, "scheduler": "heun"}}
    first = job_of(services, generate(client, **fields))
    begin(first.id).complete()
    again = job_of(services, client.simulate_post(f"/api/jobs/{first.id}/retry"))
    assert (again.image, again.mask) == (first.image, first.mask)
    assert again.effective_settings == first.effective_settings


def test_an_input_that_is_swept_before_its_job_is_stored_is_a_sentence(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = send(client, encoded()).json["id"]
    check = services.spool.check_capacity

    def sweep_first() -> None:
        for path in files_of(services):
            path.unlink()
        check()

    monkeypatch.setattr(services.spool, "check_capacity", sweep_first)
    answer = generate(client, image=sent)
    assert answer.status_code == 400
    assert "Send it to /api/inputs again" in answer.json["message"]
    assert list(services.spool.ids(State.PENDING)) == []


def test_pictures_of_jobs_are_kept_and_others_go_after_a_day(client: TestClient, services: Services) -> None:
    job = job_of(services, generate(client, image=IMAGE))
    send(client, encoded(colour=(9, 9, 9)))
    now = services.layout.inputs.stat().st_mtime
    assert services.inputs.sweep(now + SPARED_SECONDS + 60) == 1
    assert [f"in_{path.stem}" for path in files_of(services)] == [job.image.id if job.image else ""]
    for path in files_of(services):
        assert os.stat(path).st_mode & 0o777 == 0o640


def test_the_limits_of_pictures_are_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MOST_PIXELS", 100)
    answer = send(client, encoded())
    assert answer.json["message"] == "image has 48x32 pixels; at most 100 are allowed. Make it smaller."
    assert answer.json["field"] == "image"
