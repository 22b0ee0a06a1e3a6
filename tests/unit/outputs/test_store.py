"""The image store: what a killed worker leaves, and damaged files."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import ids
from jobs.schema import Job
from jobs.spool import Spool
from outputs import thumbnail
from outputs.errors import DamagedImage, ImageNotFound
from outputs.store import ImageStore
from tests.faults.scenario import picture
from tests.programs import wait_until
from tests.sidecars import sidecar_of


@pytest.fixture
def store(spool: Spool) -> ImageStore:
    return ImageStore(spool.layout)


@pytest.fixture
def image(store: ImageStore, new_job: Callable[..., Job]) -> str:
    """A committed image."""
    job = new_job()
    identifier = ids.image_id(job.order, 1)
    store.commit(picture(identifier), sidecar_of(job, 1, picture(identifier)))
    return identifier


@pytest.mark.parametrize("size", [0, 1, -1])
def test_a_file_of_another_size_is_never_served(store: ImageStore, image: str, size: int) -> None:
    path = store.path(image)
    content = path.read_bytes()
    path.write_bytes(content + b"x" if size == 1 else content[:size])
    with pytest.raises(DamagedImage):
        store.open(image)
    assert not store.is_committed(image)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 15_000), bit=st.integers(0, 7), is_known=st.booleans(), keeps_time=st.booleans())
def test_a_flipped_bit_is_never_served(
    spool: Spool, image: str, place: int, bit: int, is_known: bool, keeps_time: bool
) -> None:
    store = ImageStore(spool.layout)
    path, good = store.path(image), picture(image)
    settle(path)
    if is_known:
        store.open(image)[0].close()
    before = path.stat()
    damaged = bytearray(good)
    damaged[place % len(good)] ^= 1 << bit
    path.write_bytes(damaged)
    if keeps_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):
        with pytest.raises(DamagedImage, match="not those that were stored"):
            store.open(image)
    with pytest.raises(DamagedImage):
        thumbnail.thumbnail(store, image)
    assert store.damage.ids() == [image]
    path.write_bytes(good)
    stream, _ = store.open(image)
    with stream:
        assert stream.read() == good
    assert store.damage.ids() == []


def settle(path: Path) -> None:
    """As a file that was not written just now."""
    os.utime(path, (1e9, 1e9))


def test_a_file_is_hashed_once_per_process(store: ImageStore, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[object] = []
    real = hashlib.file_digest
    monkeypatch.setattr("hashlib.file_digest", lambda *arguments: (hashed.append(0), real(*arguments))[1])
    wait_until(lambda: time.time_ns() - store.path(image).stat().st_ctime_ns > 2e8, about="the file to be settled")
    for _ in range(5):
        store.open(image)[0].close()
    assert len(hashed) == 1
    store.path(image).touch()
    for _ in range(5):  # changed just now, so that it may change again unseen
        store.open(image)[0].close()
    assert len(hashed) == 6


def test_what_another_process_found_damaged_is_looked_at_again(store: ImageStore, image: str, spool: Spool) -> None:
    wait_until(lambda: time.time_ns() - store.path(image).stat().st_ctime_ns > 2e8, about="the file to be settled")
    store.open(image)[0].close()
    ImageStore(spool.layout).damage.put(image, "the disk says so", ())
    store.open(image)[0].close()
    assert store.damage.ids() == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"{", "cannot be read"), (b"", "cannot be read"), (None, "is that of 'img_")],
    ids=["torn", "empty", "another's"],
)
def test_a_damaged_sidecar_is_noted_until_it_is_whole(
    store: ImageStore, image: str, content: bytes | None, reason: str
) -> None:
    path = store.sidecar_path(image)
    good = path.read_bytes()
    path.write_bytes(good.replace(image.encode(), image[:-1].encode() + b"2") if content is None else content)
    with pytest.raises(DamagedImage, match=reason):
        store.sidecar(image)
    mark = store.damage.read(image)
    assert mark is not None
    assert reason in mark.reason
    store.check_damaged()
    assert store.damage.read(image) == mark
    path.write_bytes(good)
    store.check_damaged()
    assert store.damage.ids() == []


def test_the_mark_of_an_image_goes_with_it(store: ImageStore, image: str) -> None:
    store.path(image).unlink()
    with pytest.raises(DamagedImage):
        store.open(image)
    assert store.damage.ids() == [image]
    store.delete(image)
    assert store.damage.ids() == []
    store.damage.put(image, "left behind", ())
    store.check_damaged()
    assert store.damage.ids() == []


def test_a_sector_that_cannot_be_read_is_damage(store: ImageStore, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("hashlib.file_digest", fail)
    with pytest.raises(DamagedImage, match="Input/output error"):
        store.check(image)
    assert store.damage.ids() == [image]


def test_a_disk_that_takes_no_mark_changes_no_answer(
    store: ImageStore, image: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.path(image).write_bytes(b"")
    monkeypatch.setattr("core.files.replace", fail)
    with pytest.raises(DamagedImage):
        store.open(image)
    assert "could not be noted" in caplog.text


def test_a_flipped_bit_is_noticed_before_a_retry_trusts_the_image(store: ImageStore, image: str) -> None:
    path = store.path(image)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert not store.is_committed(image)


def test_who_has_an_image_open_gets_all_its_bytes(store: ImageStore, image: str) -> None:
    stream, _ = store.open(image)
    with stream:
        store.delete(image)
        assert stream.read() == picture(image)
    with pytest.raises(ImageNotFound):
        store.open(image)
    with pytest.raises(ImageNotFound):
        store.delete(image)
