"""Damaged images, and indexes without an API, with the real programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import IndexUnavailable
from jobs.schema import State
from outputs.store import ImageStore
from tests.indexes import data_at, image_index, job_index
from tests.programs import ApiProcess, api, wait_until
from tests.runner_harness import RunnerHarness
from tests.sidecars import sidecar
from tests.unit.outputs.images import earlier

PNG = b"\x89PNG" + bytes(range(256)) * 40


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiProcess]:
    """An API with two workers, so that what one finds must be known to the other."""
    with api(tmp_path / "data", workers=2) as program:
        yield program


def add(data: Path, days: float) -> str:
    """An image of some days ago, as a restored backup has it."""
    found = data_at(data)
    order = earlier(found.spool.clock.issue(), days)
    found.store.commit(PNG, sidecar(order, png=PNG))
    return sidecar(order).id


def flip(data: Path, image: str) -> None:
    """Flip a bit and keep the time of modification."""
    path = data_at(data).store.path(image)
    before = path.stat()
    path.write_bytes(PNG[:-1] + bytes([PNG[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def damaged(server: ApiProcess) -> int:
    """What the health check counts."""
    return int(server.client.get(f"{server.base}/health/ready").json()["checks"]["images"]["damaged"])


def test_no_worker_ever_serves_a_flipped_byte(server: ApiProcess, tmp_path: Path) -> None:
    data = tmp_path / "data"
    image = add(data, 40)
    for _ in range(8):
        assert server.get(f"/get_image/{image}").content == PNG
    flip(data, image)
    answers = [server.get(f"/get_image/{image}") for _ in range(8)]
    assert {answer.status_code for answer in answers} == {500}
    assert {answer.json()["error_type"] for answer in answers} == {"damaged"}
    assert damaged(server) == 1
    data_at(data).store.path(image).write_bytes(PNG)
    for _ in range(8):
        assert server.get(f"/get_image/{image}").content == PNG
    assert damaged(server) == 0


def test_an_api_that_nobody_asks_finds_damage_of_any_day(server: ApiProcess, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for days in (0, 40, 4000):
        flip(data, add(data, days))
    (data / "spool" / "scrub.json").unlink(missing_ok=True)  # a pass begins now and not in a week
    wait_until(lambda: damaged(server) == 3, about="the damage to be found")
    assert "cyberimage_damaged_images 3.0" in server.client.get(f"{server.base}/metrics").text


def test_a_runner_without_an_api_keeps_the_indexes_and_finds_damage(bare_harness: RunnerHarness) -> None:
    bad, gone = add(bare_harness.data, 40), add(bare_harness.data, 3)
    flip(bare_harness.data, bad)
    jobs, images = job_index(bare_harness.data), image_index(bare_harness.data)
    with pytest.raises(IndexUnavailable):
        images.count()
    with bare_harness.stub_runner() as runner:
        wait_until(lambda: images.file.is_usable() and images.count() == 2, about="the index of images")
        store: ImageStore = bare_harness.store
        wait_until(lambda: store.damage.ids() == [bad], about="the damage to be found")
        for path in (store.sidecar_path(gone), store.path(gone)):  # as docs/spool.md tells people
            path.unlink()
        wait_until(lambda: images.count() == 1, about="the index to follow")
        job = bare_harness.submit("a castle")
        bare_harness.wait_for(job, State.COMPLETED)
        wait_until(lambda: jobs.file.is_usable() and jobs.counts().completed == 1, about="the index of jobs")
        assert runner.end() == 0
        assert "Traceback" not in runner.output()
