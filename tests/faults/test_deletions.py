"""A deletion that is killed at any point is finished, whatever day the image is of and whoever comes next."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from core import failpoints
from jobs.ids import image_id
from jobs.schema import Job
from outputs import thumbnail
from outputs.store import ImageStore
from service.deletion import delete_image
from service.maintenance import Maintenance
from tests.indexes import data_at
from tests.programs import wait_until
from tests.runner_harness import RunnerHarness
from tests.sidecars import sidecar, sidecar_of
from tests.unit.outputs.images import earlier

NewJob = Callable[..., Job]
#: The points of a deletion. Before the first of them nothing is promised; from the rename on all bytes must go.
BEGUN = 2
POINTS = ["delete.before", "delete.renamed", "delete.target_synced", "delete.image", "delete.record"]


def old_image(store: ImageStore, order: str, days: float) -> str:
    """An image of some days ago, with its thumbnail."""
    found = sidecar(earlier(order, days), png=b"png")
    store.commit(b"png", found)
    thumbnail.keep(store, found.id, b"small")
    return found.id


def files_of(store: ImageStore, image: str) -> list[Path]:
    """What there is of an image, in the outputs and in the record of deletions."""
    return [*store.layout.outputs.rglob(f"{image}*"), *store.layout.deleting.glob(f"{image}*")]


def delete_and_die(data: Path, image: str, point: int) -> list[str]:
    """Delete an image in a process that is killed at the `point`th failpoint; returns the points that it passed."""
    log = data.parent / f"points-{point}"
    child = os.fork()
    if child == 0:
        try:
            failpoints._log = str(log)
            failpoints.arm(point)
            found = data_at(data)
            delete_image(found.spool, found.store, image)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == (-signal.SIGKILL if point else 0)
    return [line.split()[1] for line in log.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("point", range(1, len(POINTS) + 1))
@pytest.mark.parametrize("days", [0.0, 40.0, 4000.0])
def test_the_maintenance_finishes_a_deletion_of_any_day(bare_harness: RunnerHarness, point: int, days: float) -> None:
    store, data = bare_harness.store, data_at(bare_harness.data)
    kept = old_image(store, bare_harness.spool.clock.issue(), days)
    image = old_image(store, bare_harness.spool.clock.issue(), days)
    Maintenance(data).tick()
    assert delete_and_die(bare_harness.data, image, point) == POINTS[:point]
    assert store.sidecar_path(image).exists() == (point < BEGUN)
    Maintenance(data).tick()
    assert bool(files_of(store, image)) == (point < BEGUN)
    assert data.images.count() == (2 if point < BEGUN else 1)
    assert store.is_committed(kept)


def test_a_deletion_passes_these_points(bare_harness: RunnerHarness) -> None:
    image = old_image(bare_harness.store, bare_harness.spool.clock.issue(), 40)
    assert delete_and_die(bare_harness.data, image, 0) == POINTS
    assert files_of(bare_harness.store, image) == []


def test_a_runner_that_starts_finishes_deletions(bare_harness: RunnerHarness) -> None:
    image = old_image(bare_harness.store, bare_harness.spool.clock.issue(), 40)
    delete_and_die(bare_harness.data, image, BEGUN)
    with bare_harness.stub_runner():
        wait_until(lambda: not files_of(bare_harness.store, image), about="the deletion to be finished")


def test_an_image_that_was_restored_by_hand_stays(bare_harness: RunnerHarness) -> None:
    store = bare_harness.store
    image = old_image(store, bare_harness.spool.clock.issue(), 40)
    delete_and_die(bare_harness.data, image, BEGUN)
    store.sidecar_path(image).write_bytes(store.layout.deletion(image).read_bytes())
    assert store.finish_deletions() == 1
    assert store.is_committed(image)
    assert not list(store.layout.deleting.iterdir())


def test_names_that_are_no_images_are_left_alone(bare_harness: RunnerHarness) -> None:
    odd = ["note.txt", "img_1.json", image_id("ffffffff-ffff-7fff-bfff-ffffffffffff", 1) + ".json"]
    for name in odd:
        (bare_harness.spool.layout.deleting / name).touch()
    bare_harness.store.finish_deletions()
    assert sorted(path.name for path in bare_harness.spool.layout.deleting.iterdir()) == sorted(odd)


def test_a_worker_that_removes_the_image_first_is_no_reason_to_refuse(
    bare_harness: RunnerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, store = bare_harness.spool, bare_harness.store
    job = bare_harness.submit("a castle")
    found = sidecar_of(job, 1, b"png")
    store.commit(b"png", found)
    put = spool.tombstones.put

    def put_and_be_seen(image: str, owner: str) -> None:
        put(image, owner)
        store.delete(image)  # as the worker does that finds a tombstone for what it has just stored

    monkeypatch.setattr(spool.tombstones, "put", put_and_be_seen)
    delete_image(spool, store, found.id)
    assert not files_of(store, found.id)
    assert spool.tombstones.has(found.id)
