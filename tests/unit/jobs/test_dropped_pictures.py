"""A dropped job and the pictures beside it: taken in together, or refused together, and nothing vanishes."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core import failpoints
from jobs.catalog import Catalog
from jobs.drops.adopter import Adopter
from jobs.drops.result import AdoptionResult
from jobs.requests import RequestValidator
from jobs.schema import Job, State
from jobs.spool import Spool
from outputs.inputs import InputStore
from outputs.store import ImageStore
from service.pictures import Pictures
from tests.unit.jobs.test_drops import QUIET, Clock, Dropper, clock, drop, jobs_in, reason

__all__ = ["clock", "drop"]


@pytest.fixture
def catalog(catalog: Catalog) -> Catalog:
    """A catalog whose `tiny` model draws from pictures, too."""
    index = catalog.path("tiny") / "model_index.json"
    index.write_text('{"_class_name": "StableDiffusionPipeline"}', encoding="utf-8")
    return catalog


@pytest.fixture
def store(spool: Spool) -> InputStore:
    return InputStore(spool.layout)


@pytest.fixture
def adopter(spool: Spool, validator: RequestValidator, clock: Clock, store: InputStore) -> Adopter:
    pictures = Pictures(store, ImageStore(spool.layout))
    return Adopter(spool, validator, QUIET, monotonic=clock, pictures=pictures)


def png(size: tuple[int, int] = (32, 24), shade: int = 90) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise(size, shade).save(stream, "PNG")
    return stream.getvalue()


def request(**fields: Any) -> bytes:
    return json.dumps({"model_id": "tiny", "prompt": "a castle", "image": "castle.png"} | fields).encode()


def only(spool: Spool) -> Job:
    (job,) = jobs_in(spool)
    return job


def left(spool: Spool) -> list[str]:
    return sorted(path.name for path in spool.layout.incoming.iterdir())


def rejected(spool: Spool) -> list[str]:
    return sorted(path.name for path in spool.layout.rejected.iterdir() if not path.name.endswith(".reason.json"))


@pytest.mark.parametrize("order", [("castle.json", "castle.png"), ("castle.png", "castle.json")])
def test_a_pair_becomes_a_job_in_either_order(
    spool: Spool, adopter: Adopter, drop: Dropper, store: InputStore, order: tuple[str, str]
) -> None:
    contents = {"castle.json": request(id="castle"), "castle.png": png()}
    drop(order[0], contents[order[0]])
    first = adopter.scan()
    assert (first.adopted, first.refused, left(spool)) == ([], [], [order[0]])
    drop(order[1], contents[order[1]])
    assert adopter.scan().adopted == ["castle"]
    assert left(spool) == []
    job = only(spool)
    assert job.image is not None
    assert (job.image.width, job.image.height) == (32, 24)
    assert (job.effective_settings.width, job.effective_settings.height) == (32, 24)
    assert store.has(job.image.id)
    assert rejected(spool) == []


def test_a_job_whose_picture_never_comes_is_refused_with_a_reason(
    spool: Spool, adopter: Adopter, drop: Dropper, clock: Clock
) -> None:
    drop("castle.json", request())
    waiting = adopter.scan()
    assert (waiting.waiting, waiting.next_check) == (1, QUIET)
    clock.now += QUIET - 1
    assert adopter.scan().next_check == 1
    clock.now += 2
    assert adopter.scan().refused == ["castle.json"]
    said = reason(spool, "castle.json")
    assert said["field"] == "image"
    assert said["message"] == 'image is "castle.png"; no file of this name lay beside it within 30 seconds.'
    assert (left(spool), rejected(spool)) == ([], ["castle.json"])


def test_a_picture_without_a_job_is_left_where_it_is(
    spool: Spool, adopter: Adopter, drop: Dropper, clock: Clock
) -> None:
    drop("castle.png", png())
    adopter.scan()
    clock.now += QUIET + 1
    assert adopter.scan().refused == []
    assert left(spool) == ["castle.png"]
    assert "with the pictures that they name" in reason(spool, "castle.png")["message"]
    drop("castle.json", request(id="castle"))
    assert adopter.scan().adopted == ["castle"]
    adopter.scan()
    assert list(spool.layout.rejected.iterdir()) == []


def test_a_picture_that_is_written_slowly_is_waited_for(
    spool: Spool, adopter: Adopter, drop: Dropper, clock: Clock
) -> None:
    whole = png((64, 64))
    path = drop("castle.png", b"")
    drop("castle.json", request(id="castle"))
    for end in range(0, len(whole) - 30, len(whole) // 12):
        path.write_bytes(whole[:end])
        clock.now += QUIET - 1
        result = adopter.scan()
        assert (result.adopted, result.refused, result.waiting) == ([], [], 1)
        assert 0 < (result.next_check or 0) <= QUIET
        assert adopter.scan().waiting == 1  # unchanged: not even read
    path.write_bytes(whole)
    assert adopter.scan().adopted == ["castle"]
    assert left(spool) == []


BAD: list[tuple[dict[str, Any], dict[str, bytes], str, str]] = [
    ({}, {"castle.png": png()[:-60]}, "image", "truncated or damaged"),
    ({}, {"castle.png": b"GIF89a"}, "image", "image is no PNG, JPEG or WebP picture; send one of these."),
    ({"mask": "m.png"}, {"castle.png": png(), "m.png": png((8, 8))}, "mask", "mask is 8x8; it must be as large"),
    ({"prompt": ""}, {"castle.png": png()}, "prompt", "prompt is"),
    ({"model_id": "far"}, {"castle.png": png()}, "model_id", "whose weights are not on this machine"),
    ({"id": "a b"}, {"castle.png": png()}, "id", "a name of 1 to 64"),
]


@pytest.mark.parametrize(("fields", "pictures", "field", "sentence"), BAD)
def test_what_cannot_be_is_refused_with_its_pictures(
    spool: Spool,
    adopter: Adopter,
    drop: Dropper,
    clock: Clock,
    fields: dict[str, Any],
    pictures: dict[str, bytes],
    field: str,
    sentence: str,
) -> None:
    for name, content in pictures.items():
        drop(name, content)
    drop("castle.json", request(**fields))
    result = adopter.scan()
    if not result.refused:
        clock.now += QUIET + 1
        result = adopter.scan()
    assert sorted(result.refused) == sorted(["castle.json", *pictures])
    for name, content in {**pictures, "castle.json": request(**fields)}.items():
        assert (spool.layout.rejected / name).read_bytes() == content
        said = reason(spool, name)
        assert said["field"] == field
        assert sentence in said["message"]
    assert left(spool) == []
    assert list(spool.ids(State.PENDING)) == []
    assert list(spool.layout.inputs.rglob("*.png")) == []


@pytest.mark.parametrize("name", ["../castle.png", "a/b.png", "castle.json", "castle.svg", ".hidden.png", "/etc/x.png"])
def test_a_name_that_leads_elsewhere_is_refused(spool: Spool, adopter: Adopter, drop: Dropper, name: str) -> None:
    (spool.layout.spool / "castle.png").write_bytes(png())
    drop("job.json", request(image=name))
    assert adopter.scan().refused == ["job.json"]
    assert "or the name of a .png, .jpg or .webp file beside this one" in reason(spool, "job.json")["message"]
    assert (spool.layout.spool / "castle.png").exists()


def test_links_and_folders_are_not_followed(spool: Spool, adopter: Adopter, drop: Dropper, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png())
    (spool.layout.incoming / "castle.png").symlink_to(secret)
    drop("castle.json", request())
    assert adopter.scan().refused == ["castle.json"]
    assert "a symbolic link; it must be a regular file" in reason(spool, "castle.json")["message"]
    assert (spool.layout.incoming / "castle.png").is_symlink()
    assert secret.exists()


def test_other_names_of_pictures_work_as_well(spool: Spool, adopter: Adopter, drop: Dropper, store: InputStore) -> None:
    sent = store.put(png((16, 16)))
    drop("one.json", request(id="one", image=sent.id))
    assert adopter.scan().adopted == ["one"]
    drop("two.json", request(id="two", image="in_" + "0" * 64))
    assert adopter.scan().refused == ["two.json"]
    assert "there is no such picture" in reason(spool, "two.json")["message"]


def test_image_and_mask_may_be_one_file_and_their_ids_are_kept(spool: Spool, adopter: Adopter, drop: Dropper) -> None:
    drop("castle.png", png())
    drop("castle.json", request(id="castle", mask="castle.png"))
    assert adopter.scan().adopted == ["castle"]
    job = only(spool)
    assert job.image is not None
    assert job.image == job.mask
    assert left(spool) == []


@pytest.mark.parametrize("point", ["input.stored", "adopt.stored", "adopt.picture_removed", "adopt.removed"])
def test_a_kill_between_any_two_steps_makes_one_job_and_loses_nothing(
    spool: Spool,
    validator: RequestValidator,
    adopter: Adopter,
    drop: Dropper,
    store: InputStore,
    point: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    drop("castle.png", png())
    drop("castle.json", request())
    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "_pass_armed", lambda name: kill() if name == point else None)
        patch.setattr(failpoints, "_armed", True)
        with pytest.raises(Killed):
            adopter.scan()
    fresh = Adopter(spool, validator, QUIET, pictures=Pictures(store, ImageStore(spool.layout)))
    result: AdoptionResult = fresh.scan()
    assert result.refused == []
    job = only(spool)
    assert job.image is not None
    assert store.read(job.image.id)
    assert left(spool) == []
    assert rejected(spool) == []


def test_another_picture_of_the_same_name_that_came_since_stays(
    spool: Spool,
    validator: RequestValidator,
    adopter: Adopter,
    drop: Dropper,
    store: InputStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = drop("castle.png", png())
    drop("castle.json", request(id="castle"))
    submit: Callable[[Job], None] = spool.submit_named
    other = png(shade=10)

    def replaced_meanwhile(job: Job) -> None:
        submit(job)
        path.unlink()
        path.write_bytes(other)

    monkeypatch.setattr(spool, "submit_named", replaced_meanwhile)
    assert adopter.scan().adopted == ["castle"]
    assert path.read_bytes() == other
    assert left(spool) == ["castle.png"]
    drop("again.json", request(id="again", image="castle.png"))
    monkeypatch.undo()
    assert adopter.scan().adopted == ["again"]
    assert left(spool) == []


def test_a_disk_without_room_leaves_the_pair_where_it_is(
    spool: Spool, validator: RequestValidator, drop: Dropper, store: InputStore
) -> None:
    drop("castle.png", png())
    drop("castle.json", request())
    full = Spool(spool.layout, reserve_bytes=1 << 60)
    result = Adopter(full, validator, QUIET, pictures=Pictures(store, ImageStore(spool.layout))).scan()
    assert (result.waiting, result.refused) == (1, [])
    assert left(spool) == ["castle.json", "castle.png"]
    assert list(spool.layout.inputs.rglob("*.png")) == []


def test_without_a_store_pictures_are_refused(spool: Spool, validator: RequestValidator, drop: Dropper) -> None:
    drop("castle.json", request(image="in_" + "0" * 64))
    Adopter(spool, validator, QUIET).scan()
    assert reason(spool, "castle.json")["message"] == "Pictures are not taken here."
    assert os.listdir(spool.layout.incoming) == []
