"""Images, their metadata, the gallery, and deleting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from falcon.testing import TestClient

from jobs.claims import Claim
from jobs.ids import image_id
from outputs.sidecar import Sidecar
from service.services import Services

Submit = Callable[..., str]
Begin = Callable[[str], Claim]
Draw = Callable[..., Sidecar]

METADATA_OF_THE_SPEC = {
    "model_id", "prompt", "negative_prompt", "settings", "generation_time", "image_number", "total_images",
}  # fmt: skip
PNG = b"\x89PNG" + bytes(range(256)) * 40


@pytest.fixture
def image(submit: Submit, begin: Begin, draw: Draw) -> Sidecar:
    """The finished image of a finished job."""
    held = begin(submit("a castle"))
    sidecar = draw(held.job, 1, PNG)
    held.complete()
    return sidecar


def test_the_png_is_served_whole_and_for_ever(client: TestClient, image: Sidecar) -> None:
    answer = client.simulate_get(f"/api/get_image/{image.id}")
    assert answer.status_code == 200
    assert answer.content == PNG
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(PNG))
    assert answer.headers["etag"] == f'"{image.sha256}"'
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert image.id in answer.headers["content-disposition"]


@pytest.mark.parametrize("name", ["_", "t", "retry", "v"])
def test_a_cache_buster_is_ignored_on_reading(client: TestClient, image: Sidecar, name: str) -> None:
    for path in ("/api/gallery", f"/api/get_image/{image.id}", f"/api/status/{image.job_id}", "/health/ready"):
        assert client.simulate_get(path, query_string=f"{name}=17").status_code != 400
        assert client.simulate_head(path, query_string=f"{name}=17&{name}=18").status_code != 400
        assert client.simulate_get(path, query_string=f"{name}x=17").status_code == 400
    assert client.simulate_delete(f"/api/image/{image.id}", query_string=f"{name}=17").status_code == 400


def test_head_tells_the_size_without_the_bytes(client: TestClient, image: Sidecar) -> None:
    answer = client.simulate_head(f"/api/get_image/{image.id}")
    assert answer.headers["content-length"] == str(len(PNG))
    assert answer.content == b""


def test_metadata_have_the_keys_of_the_spec_and_more(client: TestClient, image: Sidecar) -> None:
    answer = client.simulate_get(f"/api/image/{image.id}/metadata").json
    assert answer.keys() >= METADATA_OF_THE_SPEC | {"seed", "duration_seconds", "sha256", "file_path", "job_id"}
    assert answer["generation_time"] == 1_700_000_000.5
    assert answer["settings"]["num_inference_steps"] == 4


def test_an_image_of_a_running_job_is_marked_before_it_goes(
    client: TestClient, services: Services, submit: Submit, begin: Begin, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = begin(submit(num_images=2))
    image = draw(held.job, 1, PNG)
    delete, marked = services.store.delete, []
    monkeypatch.setattr(services.store, "delete", lambda found: (marked.append(held.is_deleted(found)), delete(found)))
    assert client.simulate_delete(f"/api/image/{image.id}").status_code == 200
    assert marked == [True]
    held.requeue(refund_attempt=True)
    again = begin(held.job.id)
    assert again.is_deleted(image.id)
    again.complete()
    assert not list((services.spool.layout.spool / "deleted").iterdir())


def test_an_image_that_is_not_drawn_yet_is_not_marked(
    client: TestClient, services: Services, submit: Submit, begin: Begin
) -> None:
    held = begin(submit())
    assert client.simulate_delete(f"/api/image/{image_id(held.job.order, 1)}").status_code == 404
    assert not list((services.spool.layout.spool / "deleted").iterdir())
    held.abandon()


def test_an_image_of_an_ended_job_needs_no_mark(client: TestClient, services: Services, image: Sidecar) -> None:
    assert client.simulate_delete(f"/api/image/{image.id}").status_code == 200
    assert not list((services.spool.layout.spool / "deleted").iterdir())


def test_a_damaged_image_of_a_running_job_stays_deleted_too(
    client: TestClient, services: Services, submit: Submit, begin: Begin, draw: Draw
) -> None:
    held = begin(submit())
    image = draw(held.job, 1, PNG)
    services.store.sidecar_path(image.id).write_bytes(b"{")
    assert client.simulate_delete(f"/api/image/{image.id}").status_code == 200
    assert held.is_deleted(image.id)
    held.complete()


def test_a_deleted_image_is_gone_everywhere(client: TestClient, image: Sidecar, services: Services) -> None:
    answer = client.simulate_delete(f"/api/image/{image.id}")
    assert answer.json == {"status": "success", "message": "Image deleted successfully"}
    assert client.simulate_delete(f"/api/image/{image.id}").status_code == 404
    assert client.simulate_get(f"/api/get_image/{image.id}").status_code == 404
    assert client.simulate_get(f"/api/image/{image.id}/metadata").status_code == 404
    status = client.simulate_get(f"/api/status/{image.job_id}").json
    assert (status["status"], status["images"]) == ("completed", [])
    assert client.simulate_get("/api/gallery").json["total"] == 0
    assert list(services.store.layout.outputs.rglob("img_*")) == []


@pytest.mark.parametrize("content", [PNG[:-1], PNG + b"x", None])
def test_a_damaged_image_is_never_served_as_whole(
    client: TestClient, image: Sidecar, services: Services, content: bytes | None
) -> None:
    path = services.store.path(image.id)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    answer = client.simulate_get(f"/api/get_image/{image.id}")
    assert answer.status_code == 500
    assert "damaged" in answer.json["message"]


@pytest.mark.parametrize("place", [0, 4, len(PNG) // 2, len(PNG) - 1])
def test_a_flipped_byte_is_not_served_and_shown_to_operators(
    client: TestClient, image: Sidecar, services: Services, place: int
) -> None:
    address, path = f"/api/get_image/{image.id}", services.store.path(image.id)
    assert client.simulate_get(address).status_code == 200
    path.write_bytes(PNG[:place] + bytes([PNG[place] ^ 1]) + PNG[place + 1 :])
    for answer in (
        client.simulate_get(address),
        client.simulate_get(address, headers={"Range": "bytes=0-1"}),
        client.simulate_get(f"/api/image/{image.id}/thumbnail"),
    ):
        assert (answer.status_code, answer.json["error_type"]) == (500, "damaged")
    assert client.simulate_head(address).status_code == 500
    assert "cyberimage_damaged_images 1.0" in client.simulate_get("/metrics").text
    found = client.simulate_get("/health/ready").json["checks"]["images"]
    assert (found["ok"], found["damaged"]) == (True, 1)
    path.write_bytes(PNG)
    assert client.simulate_get(address).content == PNG
    assert client.simulate_get("/health/ready").json["checks"]["images"]["damaged"] == 0


@pytest.mark.parametrize("image_id", ["nix", "..", "img_1", "%00", "img_" + "f" * 32 + "_1", "img_" + "0" * 32 + "_9"])
@pytest.mark.parametrize("template", ["/api/get_image/{}", "/api/image/{}/metadata"])
def test_unknown_images_are_not_found(client: TestClient, template: str, image_id: str) -> None:
    assert client.simulate_get(template.format(image_id)).status_code == 404
    assert client.simulate_delete(f"/api/image/{image_id}").status_code == 404


@pytest.fixture
def gallery(submit: Submit, begin: Begin, draw: Draw) -> list[str]:
    """Seven images, oldest first."""
    ids = []
    for number in range(7):
        held = begin(submit(f"castle {number}" if number % 2 else f"House {number}"))
        ids.append(draw(held.job).id)
        held.complete()
    return ids


def listed(answer: Any) -> list[str]:
    return [image["id"] for image in answer.json["images"]]


def test_the_gallery_is_newest_first_and_paginated(client: TestClient, gallery: list[str]) -> None:
    first = client.simulate_get("/api/gallery", params={"page": 1, "limit": 3})
    last = client.simulate_get("/api/gallery", params={"page": 3, "limit": 3})
    assert listed(first) == gallery[:3:-1]
    assert listed(last) == gallery[:1]
    assert (first.json["has_more"], last.json["has_more"]) == (True, False)
    assert first.json["total"] == last.json["total"] == 7
    assert (first.json["page"], first.json["limit"]) == (1, 3)
    assert first.json["images"][0].keys() >= {"id", "model_id", "prompt", "created_at", "settings"}


@pytest.mark.parametrize("search", ["", "castle", "ho"])
def test_all_images_are_seen_though_each_is_deleted_meanwhile(
    client: TestClient, gallery: list[str], search: str
) -> None:
    params: dict[str, Any] = {"limit": 2, "search": search}
    expected = listed(client.simulate_get("/api/gallery", params={"search": search}))
    answer = client.simulate_get("/api/gallery", params=params)
    seen = listed(answer)
    while cursor := answer.json["next_cursor"]:
        for name in listed(answer):
            assert client.simulate_delete(f"/api/image/{name}").status_code == 200
        answer = client.simulate_get("/api/gallery", params=params | {"cursor": cursor})
        seen += listed(answer)
        assert (answer.json["page"], answer.json["limit"]) == (1, 2)
    assert seen == expected
    assert not answer.json["has_more"]


def test_search_and_model_narrow_the_gallery(client: TestClient, gallery: list[str]) -> None:
    found = client.simulate_get("/api/gallery", params={"search": "hOUSe TINY", "model": "tiny"})
    assert listed(found) == gallery[::-2]
    assert found.json["total"] == 4
    assert client.simulate_get("/api/gallery", params={"model": "far"}).json["total"] == 0


def test_a_limit_above_the_most_is_served_as_the_most(client: TestClient, gallery: list[str]) -> None:
    assert client.simulate_get("/api/gallery", params={"limit": 500}).json["limit"] == 50


@pytest.mark.parametrize(
    "query",
    ["page=0", "page=-1", "page=1_0", "page=\uff11", "page=99999999999999999999", "page=", "limit=0", "limit=x",
     "page=1&page=2", "serach=x", "cursor=img_1", f"page=2&cursor=img_{'0' * 32}_1", "search=" + "x" * 1001],
)  # fmt: skip
def test_bad_parameters_are_named(client: TestClient, query: str) -> None:
    answer = client.simulate_get("/api/gallery", query_string=query)
    assert answer.status_code == 400
    assert answer.json["field"] in answer.json["message"]


def test_without_an_index_the_gallery_says_try_again(
    client: TestClient, gallery: list[str], services: Services
) -> None:
    for path in services.store.layout.outputs.glob("index.*"):
        path.unlink()
    answer = client.simulate_get("/api/gallery")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert client.simulate_get(f"/api/get_image/{gallery[0]}").status_code == 200
