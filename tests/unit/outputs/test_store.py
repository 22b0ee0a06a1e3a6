"""The image store: what a killed worker leaves, and damaged files."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobs import ids
from jobs.schema import Job
from jobs.spool import Spool
from outputs.errors import DamagedImage, ImageNotFound
from outputs.store import ImageStore
from tests.faults.scenario import picture
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
