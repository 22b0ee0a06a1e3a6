"""The scrub: a pass sees every image, in turns that cost little, whoever takes them."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.claims import claim
from jobs.ids import image_id
from jobs.schema import Job
from jobs.spool import Spool
from outputs import orphans
from outputs.store import ImageStore
from service import scrub
from service.data import Data
from service.scrub import PERIOD, Scrub
from tests.conftest import REPOSITORY
from tests.indexes import data_at
from tests.sidecars import sidecar
from tests.unit.outputs.images import earlier
from tests.unit.outputs.test_orphans import OLD, put
from tests.unit.service.test_maintenance import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def data(spool: Spool) -> Data:
    return data_at(spool.layout.data)


def add(store: ImageStore, spool: Spool, days: float, png: bytes = b"png") -> str:
    """An image of some days ago."""
    found = sidecar(earlier(spool.clock.issue(), days), png=png)
    store.commit(png, found)
    return found.id


def damage(store: ImageStore, image: str) -> None:
    """Flip a bit, as a disk does: nothing else of the file changes that a program could see."""
    path = store.path(image)
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def take_turns(scrubs: list[Scrub], clock: Clock, turns: int) -> None:
    """Turns of several processes, in time."""
    dice = random.Random(turns)
    for _ in range(turns):
        dice.choice(scrubs).turn()
        clock.time += scrub.INTERVAL


@pytest.mark.parametrize("processes", [1, 3])
def test_a_pass_finds_all_damage_and_begins_again_a_week_later(
    data: Data, spool: Spool, clock: Clock, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "_SECONDS", 0.0)  # one image each turn
    images = [add(data.store, spool, days) for days in (0, 0, 3, 3, 3, 40, 400)]
    scrubs = [Scrub(data_at(spool.layout.data), clock) for _ in range(processes)]
    bad = [images[0], images[3], images[6]]
    for image in bad:
        damage(data.store, image)
    take_turns(scrubs, clock, 7)
    assert sorted(bad) == data.store.damage.ids()
    assert scrub.figures(data.layout).last_end is None
    take_turns(scrubs, clock, 1)
    found = scrub.figures(data.layout)
    assert (found.damaged, found.images, found.size_bytes) == (3, 7, 3 * 4)
    assert found.last_end == clock.time - scrub.INTERVAL
    damage(data.store, images[1])
    take_turns(scrubs, clock, 20)
    assert images[1] not in data.store.damage.ids(), "the next pass begins later"
    clock.time += PERIOD
    take_turns(scrubs, clock, 8)
    assert images[1] in data.store.damage.ids()


def test_a_turn_is_taken_once_in_its_time(
    data: Data, spool: Spool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "_SECONDS", 0.0)
    for _ in range(5):
        add(data.store, spool, 0)
    scrubs = [Scrub(data_at(spool.layout.data), clock) for _ in range(3)]
    for keeper in scrubs:
        keeper.turn()
    assert scrub.figures(data.layout).images == 1


@pytest.mark.parametrize("content", [b"", b"{", b'{"began_at": "x"}', b'{"began_at": 1e300, "is_ended": true}', None])
def test_a_lost_or_damaged_state_begins_a_pass(data: Data, spool: Spool, clock: Clock, content: bytes | None) -> None:
    add(data.store, spool, 0)
    keeper = Scrub(data, clock)
    keeper.turn()
    if content is None:
        data.layout.scrub_state.unlink()
    else:
        data.layout.scrub_state.write_bytes(content)
    clock.time += scrub.INTERVAL
    assert scrub.figures(data.layout).damaged == 0
    keeper.turn()
    assert scrub.figures(data.layout).last_end == clock.time


def test_images_that_come_and_go_meanwhile_disturb_nothing(
    data: Data, spool: Spool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "_SECONDS", 0.0)
    images = sorted(add(data.store, spool, 1) for _ in range(4))
    keeper = Scrub(data, clock)
    keeper.turn()
    data.store.delete(images[0])  # where the pass is
    data.store.delete(images[2])
    add(data.store, spool, 0)
    take_turns([keeper, Scrub(data_at(spool.layout.data), clock)], clock, 6)
    assert scrub.figures(data.layout).last_end is not None
    assert data.store.damage.ids() == []


def test_files_without_a_sidecar_go_except_those_of_a_running_job(
    data: Data, spool: Spool, clock: Clock, new_job: Callable[..., Job]
) -> None:
    job = new_job()
    spool.submit(job)
    held = claim(spool, job.id)
    folder = data.store.path(add(data.store, spool, 0)).parent
    drawn = put(folder / f"{image_id(job.order, 1)}.png", OLD)
    left = put(folder / f"{image_id(spool.clock.issue(), 1)}.png", OLD)
    old = data.store.path(add(data.store, spool, 400)).parent
    thumbnail = put(old / f"{image_id(earlier(spool.clock.issue(), 400), 1)}.webp", OLD)
    Scrub(data, clock).turn()
    assert (drawn.exists(), left.exists(), thumbnail.exists()) == (True, False, False)
    assert held is not None
    held.abandon()


def test_a_turn_that_fails_is_taken_again(
    data: Data, spool: Spool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days in (0, 3):
        add(data.store, spool, days)
    keeper, sweep = Scrub(data, clock), orphans.sweep

    def fail(*_arguments: object) -> int:
        monkeypatch.setattr(orphans, "sweep", sweep)
        raise PermissionError("not yours")

    monkeypatch.setattr(orphans, "sweep", fail)
    with pytest.raises(PermissionError):
        keeper.turn()
    keeper.turn()
    assert scrub.figures(data.layout).images == 2


def test_a_file_that_may_not_be_read_is_told_of_and_passed(
    data: Data, spool: Spool, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    images = [add(data.store, spool, days) for days in (3, 0)]
    real = Path.open

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if path.name == f"{images[0]}.png":
            raise PermissionError("not yours")
        return real(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    Scrub(data, clock).turn()
    assert "could not be compared" in caplog.text
    assert (scrub.figures(data.layout).images, data.store.damage.ids()) == (2, [])


def test_the_command_verifies_everything(data: Data, spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    images = [add(data.store, spool, days) for days in (0, 3, 40)]
    command = [sys.executable, "-m", "service.maintenance", str(spool.layout.data), "--verify"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    damage(data.store, images[1])
    ended = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "1 images are damaged" in ended.stderr
    assert data.store.damage.ids() == [images[1]]
