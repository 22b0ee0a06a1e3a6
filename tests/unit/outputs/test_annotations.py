"""What people say of images: kept with them, by many at once, and never bringing back what was deleted."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from core import files
from jobs.spool import Spool
from outputs.errors import ImageNotFound
from outputs.index.image_index import ImageIndex
from outputs.store import ImageStore
from tests.indexes import data_at
from tests.sidecars import sidecar
from tests.unit.outputs.images import earlier


@pytest.fixture
def store(spool: Spool) -> ImageStore:
    found = data_at(spool.layout.data)
    found.images.repair()
    return found.store


@pytest.fixture
def image(spool: Spool, store: ImageStore) -> str:
    found = sidecar(spool.clock.issue(), png=b"png")
    store.commit(b"png", found)
    return found.id


def test_what_is_said_is_kept_and_nothing_else_changes(store: ImageStore, image: str) -> None:
    before = store.sidecar(image)
    document = json.loads(store.sidecar_path(image).read_bytes()) | {"of_a_newer_program": {"a": 1.50}}
    store.sidecar_path(image).write_text(json.dumps(document), encoding="utf-8")
    said = store.annotate(image, favourite=True)
    said = store.annotate(image, labels=["castles", "best"])
    assert said == store.sidecar(image)
    assert (said.favourite, said.labels) == (True, ["castles", "best"])
    assert json.loads(store.sidecar_path(image).read_bytes()) == document | {"favourite": True, "labels": said.labels}
    assert store.is_committed(image)
    assert store.sidecar(image).sha256 == before.sha256


def test_saying_the_same_again_writes_nothing(store: ImageStore, image: str) -> None:
    store.annotate(image, favourite=True)
    before = store.sidecar_path(image).stat()
    store.annotate(image, favourite=True)
    assert store.sidecar_path(image).stat() == before


def test_two_who_speak_at_once_are_both_heard(store: ImageStore, image: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            pool.submit(store.annotate, image, labels=[str(number)])
            pool.submit(store.annotate, image, favourite=True)
    said = store.sidecar(image)
    assert said.favourite
    assert len(said.labels) == 1


def test_an_image_that_is_deleted_meanwhile_stays_deleted(
    store: ImageStore, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion is asked for when the new sidecar is about to take its place."""
    deleting = threading.Thread(target=lambda: store.delete(image))
    replace = files.replace

    def replace_late(*arguments: object, **options: object) -> None:
        deleting.start()
        deleting.join(0.2)  # it must wait for its turn
        replace(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "replace", replace_late)
    store.annotate(image, labels=["late"])
    deleting.join()
    assert not store.sidecar_path(image).exists()
    assert not store.path(image).exists()
    with pytest.raises(ImageNotFound):
        store.annotate(image, labels=["later"])


@pytest.mark.parametrize("days", [0.0, 4000.0])
def test_an_image_that_never_was_cannot_be_spoken_of(spool: Spool, store: ImageStore, days: float) -> None:
    with pytest.raises(ImageNotFound):
        store.annotate(sidecar(earlier(spool.clock.issue(), days)).id, favourite=True)


def test_filters_find_what_was_said(spool: Spool, store: ImageStore) -> None:
    index = ImageIndex(store)
    orders = [spool.clock.issue() for _ in range(4)]
    for number, order in enumerate(orders):
        store.commit(b"png", sidecar(order, 1, b"png", prompt=f"castle {number}", labels=["all"]))
        store.commit(b"png", sidecar(order, 2, b"png", prompt=f"house {number}"))
    ids = [sidecar(order, number).id for order in reversed(orders) for number in (2, 1)]
    store.annotate(ids[3], favourite=True)
    store.annotate(ids[7], favourite=True, labels=["all", "oldest"])

    def found(**wanted: object) -> list[str]:
        page = index.page(limit=3, **wanted)  # type: ignore[arg-type]
        pages = [page]
        while (cursor := pages[-1].next_cursor) is not None:
            pages.append(index.page(limit=3, cursor=cursor, **wanted))  # type: ignore[arg-type]
        by_cursor = [image.id for page in pages for image in page.images]
        count = -(-page.total // 3)
        numbered = [index.page(limit=3, page=number + 1, **wanted) for number in range(count)]  # type: ignore[arg-type]
        assert by_cursor == [image.id for page in numbered for image in page.images]
        assert page.total == len(by_cursor)
        return by_cursor

    assert found() == ids
    assert found(oldest_first=True) == ids[::-1]
    assert found(favourite=True) == [ids[3], ids[7]]
    assert found(favourite=True, oldest_first=True) == [ids[7], ids[3]]
    assert found(label="all") == ids[1::2]
    assert found(label="all", favourite=True, search="castle") == [ids[3], ids[7]]
    assert found(label="oldest", model="tiny") == [ids[7]]
    assert found(label="oldest", model="other") == []
    assert found(order=orders[0]) == ids[6:]
    assert found(search="castle", oldest_first=True) == ids[1::2][::-1]
    assert found(search="house 2", label="all") == []
    assert index.labels(10) == [("all", 4), ("oldest", 1)]
    store.delete(ids[7])
    store.annotate(ids[3], favourite=False)
    assert index.labels(10) == [("all", 3)]
    assert found(favourite=True) == []
    index.rebuild()
    assert index.labels(10) == [("all", 3)]
    assert found(label="all") == ids[1:7:2]


def test_a_change_that_the_index_missed_is_noted_later(store: ImageStore, image: str) -> None:
    index = ImageIndex(store)
    store._observer = index
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "correct_all", lambda _: (_ for _ in ()).throw(OSError("busy")))
        store.annotate(image, favourite=True)
    assert index.page(favourite=True).total == 0
    index.needs_repair()
    assert index.page(favourite=True).total == 1
