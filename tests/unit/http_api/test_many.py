"""What is done with the queue as a whole, with several jobs or images at once, and what people say of images."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from falcon.testing import TestClient

from http_api.server import places
from jobs import pause
from jobs.claims import Claim
from jobs.schema import State
from outputs import archive
from outputs.sidecar import Sidecar
from service import cancel
from service.services import Services

Submit = Callable[..., str]
Begin = Callable[[str], Claim]
Draw = Callable[..., Sidecar]


@pytest.fixture
def images(submit: Submit, begin: Begin, draw: Draw) -> list[Sidecar]:
    """Two images of a finished job."""
    held = begin(submit("A red house", num_images=2))
    found = [draw(held.job, number, b"\x89PNG %d" % number) for number in (1, 2)]
    held.complete()
    return found


# --- The queue --------------------------------------------------------------------------------------


def test_a_pause_is_told_everywhere_and_ends(client: TestClient, submit: Submit, services: Services) -> None:
    job_id = submit()
    for _ in range(2):
        answer = client.simulate_post("/api/queue/pause")
        assert (answer.status_code, answer.json["paused"]) == (200, True)
    assert pause.is_paused(services.layout)
    assert client.simulate_get("/api/queue").json["paused"] is True
    assert client.simulate_get(f"/api/status/{job_id}").json["message"] == "Waiting: the queue is paused"
    ready = client.simulate_get("/health/ready")
    assert (ready.status_code, ready.json["checks"]["queue"]["paused"]) == (503, True)
    assert "The queue is paused" in ready.json["message"]
    assert "cyberimage_queue_paused 1.0" in client.simulate_get("/metrics").text
    for _ in range(2):
        assert client.simulate_post("/api/queue/resume").json["paused"] is False
    assert client.simulate_get("/api/queue").json["paused"] is False


def test_a_job_is_moved(client: TestClient, submit: Submit) -> None:
    jobs = [submit() for _ in range(3)]

    def moved(job_id: str, **to: str) -> Any:
        return client.simulate_post(f"/api/jobs/{job_id}/move", json=to)

    assert moved(jobs[2], to="front").json["queue_position"] == 0
    assert moved(jobs[2], to="back").json["queue_position"] == 2
    assert moved(jobs[2], before=jobs[1]).json["queue_position"] == 1
    positions = [client.simulate_get(f"/api/status/{job_id}").json["queue_position"] for job_id in jobs]
    assert positions == [0, 2, 1]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "either to"),
        ({"to": "front", "before": "x"}, 400, "either to"),
        ({"to": "middle"}, 400, "must be one of back, front"),
        ({"before": "nix"}, 404, "nix"),
        ({"before": "itself"}, 400, "the job itself"),
        ({"before": "done"}, 409, "is completed"),
    ],
)
def test_what_cannot_be_a_move_is_explained(
    client: TestClient, submit: Submit, begin: Begin, body: dict[str, str], status: int, words: str
) -> None:
    done, job_id = submit(), submit()
    begin(done).complete()
    known = {"itself": job_id, "done": done}
    answer = client.simulate_post(
        f"/api/jobs/{job_id}/move", json={name: known.get(text, text) for name, text in body.items()}
    )
    assert answer.status_code == status
    assert words in answer.json["message"]


def test_only_what_waits_is_moved(client: TestClient, submit: Submit, begin: Begin) -> None:
    held = begin(submit())
    answer = client.simulate_post(f"/api/jobs/{held.job.id}/move", json={"to": "front"})
    assert answer.status_code == 409
    assert "is processing; only a job that waits" in answer.json["message"]
    held.abandon()


def test_the_only_job_that_waits_may_be_moved_anywhere(client: TestClient, submit: Submit) -> None:
    job_id = submit()
    for to in ("front", "back"):
        assert client.simulate_post(f"/api/jobs/{job_id}/move", json={"to": to}).json["queue_position"] == 0


def test_several_jobs_are_cancelled(client: TestClient, submit: Submit, begin: Begin, services: Services) -> None:
    done, runs, waits, other = (submit() for _ in range(4))
    begin(done).complete()
    held = begin(runs)
    answer = client.simulate_post("/api/jobs/cancel", json={"ids": [done, runs, waits, waits, "nix"]})
    counts = {name: answer.json[name] for name in ("cancelled", "stopping", "ended", "left")}
    assert counts == {"cancelled": 1, "stopping": 1, "ended": 2, "left": 0}
    assert held.cancel_requested()
    held.cancel()
    assert client.simulate_post("/api/jobs/cancel", json={"status": "pending"}).json["cancelled"] == 1
    assert services.spool.find(other)[0] is State.CANCELLED


def test_cancelling_ends_in_time_and_says_what_is_left(submit: Submit, services: Services) -> None:
    jobs = [submit() for _ in range(3)]
    moments = iter([0.0, 1.0, 30.0, 31.0])
    done = cancel.cancel_many(services.spool, jobs, now=lambda: next(moments))
    assert (done.cancelled, done.left) == (1, 2)


@pytest.mark.parametrize(
    "body", [{}, {"ids": [], "status": "pending"}, {"ids": []}, {"status": "failed"}, {"ids": [""]}]
)
def test_what_cannot_be_cancelled_is_explained(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.simulate_post("/api/jobs/cancel", json=body)
    assert answer.status_code == 400
    assert answer.json["message"]


# --- Images -----------------------------------------------------------------------------------------


def test_a_favourite_is_kept_and_found(client: TestClient, images: list[Sidecar]) -> None:
    first, second = images
    for _ in range(2):
        assert client.simulate_put(f"/api/image/{first.id}/favourite").json["favourite"] is True
    found = client.simulate_get("/api/gallery", query_string="favourite=true").json
    assert [image["id"] for image in found["images"]] == [first.id]
    assert client.simulate_get(f"/api/image/{first.id}/metadata").json["favourite"] is True
    assert client.simulate_delete(f"/api/image/{first.id}/favourite").json["favourite"] is False
    assert client.simulate_get("/api/gallery", query_string="favourite=true").json["total"] == 0
    png = client.simulate_get(f"/api/get_image/{second.id}")
    assert (png.status_code, png.headers["etag"]) == (200, f'"{second.sha256}"')


def test_labels_of_a_request_are_those_of_its_images(client: TestClient, begin: Begin, draw: Draw) -> None:
    body = {"model_id": "tiny", "prompt": "a castle", "labels": ["castles", "2026", "castles"]}
    job_id = client.simulate_post("/api/generate", json=body).json["job_id"]
    assert client.simulate_get(f"/api/status/{job_id}").json["labels"] == ["castles", "2026"]
    held = begin(job_id)
    image = draw(held.job)
    held.complete()
    found = client.simulate_get("/api/gallery", query_string="label=castles").json["images"]
    assert [(one["id"], one["labels"]) for one in found] == [(image.id, ["castles", "2026"])]
    again = client.simulate_post(f"/api/jobs/{job_id}/retry").json["job_id"]
    assert client.simulate_get(f"/api/status/{again}").json["labels"] == ["castles", "2026"]


def test_labels_are_replaced_and_counted(client: TestClient, images: list[Sidecar]) -> None:
    first, second = images
    client.simulate_put(f"/api/image/{first.id}/labels", json={"labels": ["a", "b"]})
    client.simulate_put(f"/api/image/{second.id}/labels", json={"labels": ["b", "ü b"]})
    assert client.simulate_get("/api/labels").json == {
        "labels": [{"label": "b", "images": 2}, {"label": "a", "images": 1}, {"label": "ü b", "images": 1}]
    }
    assert client.simulate_put(f"/api/image/{second.id}/labels", json={"labels": []}).json["labels"] == []
    assert client.simulate_get("/api/gallery", query_string="label=b").json["total"] == 1


@pytest.mark.parametrize("labels", [["a"] * 17, ["x" * 41], [""], [" a"], ["a\x01"], "a", [1], None])
def test_labels_that_are_none_are_explained(client: TestClient, images: list[Sidecar], labels: Any) -> None:
    answer = client.simulate_put(f"/api/image/{images[0].id}/labels", json={"labels": labels})
    assert answer.status_code == 400
    assert "a list of at most 16 labels, each of 1 to 40 characters" in answer.json["message"]
    assert answer.json["field"] == "labels"


def test_the_images_of_a_job_and_the_oldest_first(client: TestClient, images: list[Sidecar], submit: Submit) -> None:
    job_id = images[0].job_id
    found = client.simulate_get("/api/gallery", query_string=f"job={job_id}&sort=oldest").json["images"]
    assert [image["id"] for image in found] == [image.id for image in images]
    assert client.simulate_get("/api/gallery", query_string=f"job={submit()}").json["total"] == 0
    assert client.simulate_get("/api/gallery", query_string="job=nix").status_code == 404


def test_images_of_a_job_whose_file_is_gone_are_found(
    client: TestClient, images: list[Sidecar], services: Services
) -> None:
    services.spool.path(State.COMPLETED, images[0].job_id).unlink()
    services.spool._ended.clear()
    assert client.simulate_get("/api/gallery", query_string=f"job={images[0].job_id}").json["total"] == 2


def test_several_images_are_downloaded(client: TestClient, images: list[Sidecar]) -> None:
    answer = client.simulate_post("/api/images/download", json={"ids": [image.id for image in images]})
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert "attachment" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        assert [found.read(name) for name in found.namelist()] == [b"\x89PNG 1", b"\x89PNG 2"]
        assert all("a-red-house" in name for name in found.namelist())
    assert places.DOWNLOADS.taken == 0


def test_a_download_names_what_is_missing(client: TestClient, images: list[Sidecar]) -> None:
    answer = client.simulate_post("/api/images/download", json={"ids": [images[0].id, "img_nix", "img_nox"]})
    assert answer.status_code == 404
    assert "img_nix" in answer.json["message"]


def test_a_download_that_cannot_be_ended_is_broken_off(
    client: TestClient, images: list[Sidecar], services: Services
) -> None:
    """Its length was promised, so the client sees that it is not whole."""
    services.store.path(images[1].id).write_bytes(b"\x89PNG X")
    with pytest.raises(ConnectionResetError):
        client.simulate_post("/api/images/download", json={"ids": [image.id for image in images]})
    assert places.DOWNLOADS.taken == 0


def test_a_download_too_many_is_told_so(
    client: TestClient, images: list[Sidecar], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "DOWNLOADS", places.Places(lambda: 0))
    answer = client.simulate_post("/api/images/download", json={"ids": [images[0].id]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_several_images_are_deleted(client: TestClient, images: list[Sidecar]) -> None:
    body = {"ids": [images[0].id, images[0].id, "img_nix"]}
    assert client.simulate_post("/api/images/delete", json=body).json["deleted"] == 1
    assert client.simulate_post("/api/images/delete", json=body).json["deleted"] == 0
    assert client.simulate_get("/api/gallery").json["total"] == 1


@pytest.mark.parametrize("path", ["/api/images/delete", "/api/images/download"])
def test_lists_have_limits(client: TestClient, path: str) -> None:
    for ids in ([], ["x"] * 501, ["x" * 101], "x"):
        answer = client.simulate_post(path, json={"ids": ids})
        assert answer.status_code == 400
        assert "a list of 1 to 500 image ids" in answer.json["message"]


# --- Who asks ---------------------------------------------------------------------------------------


def test_without_keys_everybody_may_do_everything(client: TestClient) -> None:
    assert client.simulate_get("/api/me").json == {"key": None, "scopes": ["read", "submit", "admin"]}


def test_the_names_of_an_archive_say_when(images: list[Sidecar], services: Services) -> None:
    (entry,) = archive.entries(services.store, [images[0].id])
    assert entry.name.startswith(images[0].created_at[:10])
