"""Conditional requests, ranges, thumbnails, and the page's files."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import falcon
import pytest
from falcon.testing import TestClient
from PIL import Image

from http_api.api.page import PAGE_FOLDER, PageResource, ServiceWorkerResource
from http_api.server.client_address import ClientAddressFinder
from jobs.claims import Claim
from outputs import thumbnail
from outputs.sidecar import Sidecar
from service.services import Services


def picture() -> bytes:
    target = io.BytesIO()
    Image.linear_gradient("L").resize((640, 320)).convert("RGB").save(target, "PNG")
    return target.getvalue()


PNG = picture()


@pytest.fixture
def image(submit: Callable[..., str], begin: Callable[[str], Claim], draw: Callable[..., Sidecar]) -> Sidecar:
    held = begin(submit())
    sidecar = draw(held.job, 1, PNG)
    held.complete()
    return sidecar


@pytest.mark.parametrize("kind", ["get_image/{}", "image/{}/thumbnail"])
def test_what_the_client_has_is_not_sent_again(client: TestClient, image: Sidecar, kind: str) -> None:
    address = "/api/" + kind.format(image.id)
    etag = client.simulate_get(address).headers["etag"]
    for known in (etag, f'"other", {etag}', "*"):
        answer = client.simulate_get(address, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    assert client.simulate_get(address, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-9", PNG[:10]),
        ("bytes=10-", PNG[10:]),
        ("bytes=-7", PNG[-7:]),
        ("bytes=5-999999999", PNG[5:]),
        ("bytes=-999999999", PNG),
    ],
)
def test_a_part_is_sent_on_request(client: TestClient, image: Sidecar, wanted: str, expected: bytes) -> None:
    answer = client.simulate_get(f"/api/get_image/{image.id}", headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (206, expected)
    start = len(PNG) - len(expected) if wanted != "bytes=0-9" else 0
    assert answer.headers["content-range"] == f"bytes {start}-{start + len(expected) - 1}/{len(PNG)}"
    assert answer.headers["content-length"] == str(len(expected))


@pytest.mark.parametrize("wanted", ["bytes=999999999-", "bytes=-0"])
def test_a_part_outside_is_refused(client: TestClient, image: Sidecar, wanted: str) -> None:
    answer = client.simulate_get(f"/api/get_image/{image.id}", headers={"Range": wanted})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(PNG)}"


@pytest.mark.parametrize("wanted", ["bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes=-", "bytes=\u0661-"])
def test_a_range_that_cannot_be_read_is_ignored(client: TestClient, image: Sidecar, wanted: str) -> None:
    answer = client.simulate_get(f"/api/get_image/{image.id}", headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (200, PNG)


def test_a_part_of_another_content_is_not_sent(client: TestClient, image: Sidecar) -> None:
    headers = {"Range": "bytes=0-9", "If-Range": '"other"'}
    assert client.simulate_get(f"/api/get_image/{image.id}", headers=headers).content == PNG


def test_head_has_the_headers_of_get(client: TestClient, image: Sidecar) -> None:
    address = f"/api/image/{image.id}/thumbnail"
    assert (
        client.simulate_head(address).headers["content-length"]
        == client.simulate_get(address).headers["content-length"]
    )


def test_a_thumbnail_is_made_once_beside_the_image(client: TestClient, image: Sidecar, services: Services) -> None:
    answer = client.simulate_get(f"/api/image/{image.id}/thumbnail")
    assert answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(answer.content)).size == (384, 192)
    kept = services.store.path(image.id).with_suffix(".webp")
    thumbnail.keep(services.store, image.id, b"made once")
    assert client.simulate_get(f"/api/image/{image.id}/thumbnail").content == b"made once"
    client.simulate_delete(f"/api/image/{image.id}")
    assert not kept.exists()
    assert client.simulate_get(f"/api/image/{image.id}/thumbnail").status_code == 404


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_thumbnail_is_made_again(client: TestClient, image: Sidecar, services: Services, damage: str) -> None:
    address, kept = f"/api/image/{image.id}/thumbnail", services.store.path(image.id).with_suffix(".webp")
    good = client.simulate_get(address).content
    stored = kept.read_bytes()
    for place in range(0, len(stored), max(1, len(stored) // 40)):
        flipped = stored[:place] + bytes([stored[place] ^ 1]) + stored[place + 1 :]
        kept.write_bytes({"flip": flipped, "cut": stored[:place], "empty": b"", "other": b"x" * place}[damage])
        assert client.simulate_get(address).content == good
        assert kept.read_bytes() == stored


def test_no_thumbnail_of_a_damaged_image(client: TestClient, image: Sidecar, services: Services) -> None:
    services.store.path(image.id).write_bytes(b"x" * len(PNG))
    answer = client.simulate_get(f"/api/image/{image.id}/thumbnail")
    assert (answer.status_code, answer.json["error_type"]) == (500, "damaged")
    assert not services.store.path(image.id).with_suffix(".webp").exists()


@pytest.fixture
def page(tmp_path: Path) -> TestClient:
    """The page's routes over a folder of the test."""
    folder = tmp_path / "page"
    (folder / "sub.js").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>", encoding="utf-8")
    (folder / "app.js").write_text("1", encoding="utf-8")
    (folder / "service-worker.js").write_text("look(SHELL);", encoding="utf-8")
    (folder / "notes.txt").write_text("2", encoding="utf-8")
    (tmp_path / "secret.js").write_text("3", encoding="utf-8")
    app = falcon.App(middleware=[ClientAddressFinder(0)])
    app.add_route("/", PageResource(folder, fixed="index.html"))
    app.add_route("/static/{name}", PageResource(folder))
    app.add_route("/service-worker.js", ServiceWorkerResource(folder))
    return TestClient(app)


def test_the_page_is_served_with_a_strict_policy(page: TestClient) -> None:
    answer = page.simulate_get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    again = page.simulate_get("/", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(("path", "expected"), [("/docs/", "../docs"), ("/static/app.js/", "../app.js")])
def test_a_page_is_no_folder(client: TestClient, path: str, expected: str) -> None:
    answer = client.simulate_get(path)
    assert (answer.status_code, answer.headers["location"]) == (308, expected)


@pytest.mark.parametrize(
    "name",
    ["service-worker.js", "..%2fsecret.js", "%2e%2e/secret.js", ".js", "sub.js", "notes.txt", "nix.js", "a%00.js"],
)
def test_only_files_of_the_page_are_served(page: TestClient, name: str) -> None:
    assert page.simulate_get(f"/static/{name}").status_code == 404
    assert page.simulate_get("/static/app.js").text == "1"


def test_the_service_worker_changes_with_every_file_of_the_page(page: TestClient, tmp_path: Path) -> None:
    first = page.simulate_get("/service-worker.js")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "worker-src 'self'" in first.headers["content-security-policy"]
    line, _, rest = first.text.partition("\n")
    assert rest == "look(SHELL);"
    files = json.loads(line.removeprefix("const SHELL = ").removesuffix(";"))["files"]
    assert set(files) == {"", "static/app.js"}
    for path, known in files.items():
        assert page.simulate_get(f"/{path}").headers["etag"] == f'"{known}"'
    (tmp_path / "page" / "app.js").write_text("4", encoding="utf-8")
    assert page.simulate_get("/service-worker.js").text != first.text


def test_the_manifest_names_icons_of_the_sizes_it_says() -> None:
    manifest = json.loads((PAGE_FOLDER / "manifest.webmanifest").read_text(encoding="utf-8"))
    icons = [icon for icon in manifest["icons"] if icon["type"] == "image/png"]
    assert {icon["sizes"] for icon in icons} == {"192x192", "512x512"}
    for icon in icons:
        with Image.open(PAGE_FOLDER / icon["src"]) as picture:
            assert f"{picture.width}x{picture.height}" == icon["sizes"]
            alpha = picture.convert("RGBA").getchannel("A").getextrema()
            assert (alpha[0] == 255) == (icon.get("purpose") == "maskable")


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("br", False),
        ("gzip;q=0, *", False),
        ("gzip; q=0.000", False),
    ],
)
def test_texts_of_the_page_travel_compressed(page: TestClient, accepted: str, is_compressed: bool) -> None:
    plain = page.simulate_get("/static/app.js")
    answer = page.simulate_get("/static/app.js", headers={"Accept-Encoding": accepted})
    assert plain.headers["vary"] == answer.headers["vary"] == "Accept-Encoding"
    assert (answer.headers.get("content-encoding") == "gzip") == is_compressed
    assert (gzip.decompress(answer.content) if is_compressed else answer.content) == plain.content
    assert (answer.headers["etag"] != plain.headers["etag"]) == is_compressed
    known = {"Accept-Encoding": accepted, "If-None-Match": answer.headers["etag"]}
    assert page.simulate_get("/static/app.js", headers=known).status_code == 304
