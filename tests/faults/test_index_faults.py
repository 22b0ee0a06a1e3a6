"""The derived indexes when things go wrong: killed half-way, a full disk, two rebuilders, a clock that jumps."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from core.errors import IndexUnavailable
from jobs.ids import OrderClock
from jobs.index.job_index import JobIndex
from jobs.schema import Job, State, encode
from jobs.spool import Spool
from outputs.index import tables as index_tables
from outputs.index.image_index import ImageIndex
from outputs.sidecar import Sidecar
from outputs.store import ImageStore
from tests.conftest import REPOSITORY
from tests.indexes import data_at, image_index, job_index
from tests.unit.outputs.images import make_sidecar

NewJob = Callable[..., Job]


@pytest.fixture
def store(spool: Spool) -> ImageStore:
    """A store that tells nobody."""
    return ImageStore(spool.layout)


def commit(store: ImageStore, spool: Spool, prompt: str = "a castle") -> Sidecar:
    """One more image."""
    sidecar = make_sidecar(spool.clock.issue(), prompt, "demo")
    store.commit(b"png", sidecar)
    return sidecar


def check(index: ImageIndex, expected: list[str]) -> None:
    """The index finds exactly these images, and its full-text part agrees with its texts."""
    page = index.page(search="castle", limit=100)
    assert [image.id for image in page.images] == expected[::-1]
    assert page.total == index.count() == len(expected)
    with index.file.write() as database:
        database.execute("INSERT INTO fts (fts, rank) VALUES ('integrity-check', 1)")


def test_the_full_text_part_is_filled_in_steps_while_images_come_and_go(
    store: ImageStore, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_tables, "_STEP_ROWS", 2)
    monkeypatch.setattr(index_tables, "_STEP_PAGES", 1)
    images = [commit(store, spool, f"castle {number}").id for number in range(9)]
    index = image_index(spool.layout.data)
    index.file.publish(index.fill)
    store._observer = index
    finished, steps = False, 0
    while not finished:
        with index.file.write() as database:
            finished = index_tables.fill_some(database)
        steps += 1
        if steps < 8:
            images.append(commit(store, spool, "castle late").id)
            store.delete(images.pop(0))
            assert index.page(search="castle").total == len(images)
    assert steps > 8
    check(index, images)
    with index.file.read() as database:
        assert index.is_finished(database)
        # FTS5 merges by itself again, as images come one by one.
        assert dict(database.execute("SELECT k, v FROM fts_config"))["automerge"] == 4


@pytest.mark.parametrize("write", range(1, 24, 2))
def test_a_rebuild_that_is_killed_at_any_write_is_finished_by_the_next_repair(
    store: ImageStore, spool: Spool, write: int
) -> None:
    images = [commit(store, spool, f"castle {number}").id for number in range(12)]
    code = (
        "import os, signal, sqlite3, sys; from pathlib import Path\n"
        "from outputs.index import tables as index_tables; from tests.indexes import image_index\n"
        "index_tables._STEP_ROWS, index_tables._STEP_PAGES = 2, 1\n"
        "limit, seen = int(sys.argv[2]), 0\n"
        "def audit(event, arguments):\n"
        "    global seen\n"
        "    if event in ('os.rename', 'os.symlink', 'os.remove') or event == 'sqlite3.connect': count()\n"
        "def count():\n"
        "    global seen; seen += 1\n"
        "    if seen == limit: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(audit)\n"
        "step = index_tables.fill_some\n"
        "def counted(database):\n"
        "    done = step(database); count(); return done\n"
        "index_tables.fill_some = counted\n"
        "image_index(Path(sys.argv[1])).rebuild()"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code, str(spool.layout.data), str(write)]
    ended = subprocess.run(command, env=environment, check=False).returncode
    assert ended == -signal.SIGKILL or (ended == 0 and write > 12)  # beyond its last write it just ends
    index = image_index(spool.layout.data)
    index.repair()
    check(index, images)


def test_three_rebuilders_and_a_writer_at_once(store: ImageStore, spool: Spool) -> None:
    images = [commit(store, spool).id for _ in range(20)]
    index = image_index(spool.layout.data)
    index.repair()
    store._observer = index
    code = (
        "import sys; from pathlib import Path; from tests.indexes import image_index\n"
        "for _ in range(4): image_index(Path(sys.argv[1])).rebuild()"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code, str(spool.layout.data)]
    others = [subprocess.Popen(command, env=environment) for _ in range(3)]
    while any(other.poll() is None for other in others):
        images.append(commit(store, spool).id)
        store.delete(images.pop(0))
    assert [other.returncode for other in others] == [0, 0, 0]
    index.repair()
    check(index, images)
    assert len(list(store.layout.outputs.glob("index.*.sqlite3"))) == 1


@pytest.mark.parametrize("kind", ["jobs", "images"])
def test_a_rebuild_on_a_full_disk_leaves_the_index_that_there_is(
    store: ImageStore, spool: Spool, new_job: NewJob, kind: str
) -> None:
    for _ in range(30):
        commit(store, spool)
        spool.submit(new_job())
    index = {"jobs": job_index, "images": image_index}[kind](spool.layout.data)
    index.repair()
    folder = index.file.path.parent
    before = sorted(folder.glob("index.*.sqlite3"))
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, old_limit[1]))
    signal_before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises((IndexUnavailable, OSError)):
            index.rebuild()
        job = new_job()
        spool.submit(job)  # the job itself is not concerned
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, signal_before)
    assert spool.find(job.id)[0] is State.PENDING
    assert sorted(folder.glob("index.*.sqlite3")) == before
    assert index.file.is_usable()
    index.repair()
    data = data_at(spool.layout.data)
    assert data.jobs.counts().pending == 31 if kind == "jobs" else data.images.count() == 30


@pytest.mark.parametrize("step", [-86400.0, -1.0, 1.0, 86400.0])
def test_what_is_done_by_hand_is_found_though_the_clock_steps(
    spool: Spool, new_job: NewJob, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    index = JobIndex(spool)
    index.repair()
    real = time.time_ns

    def later(seconds: float) -> int:
        return real() + int(seconds * 1e9)

    for turn in range(1, 4):
        monkeypatch.setattr("core.derived_index.time.time_ns", partial(later, turn * step))
        job = new_job()
        (spool.layout.spool / State.COMPLETED / f"{job.id}.json").write_bytes(encode(job))
        assert index.needs_repair()
        index.repair()
        assert index.counts().completed == turn


def test_jobs_stay_in_their_order_though_the_clock_steps_back(spool: Spool, new_job: NewJob) -> None:
    index = JobIndex(spool)
    index.repair()
    spool._observer = index
    now = time.time_ns()
    expected = []
    for seconds in (0, -24, 5, -48, 0):  # within the skew; beyond it dates are more important
        spool.clock = OrderClock(spool.layout.spool / "order", partial(int, now + seconds * 1_000_000_000))
        job = new_job()
        spool.submit(job)
        expected.append(job.id)
    assert [job.id for _, job in index.page().jobs] == expected[::-1]
    assert [index.position(job) for _, job in reversed(index.page().jobs)] == [0, 1, 2, 3, 4]
    assert index.statistics(now / 1e9 + 60).recent_24h.total == 5


def test_garbage_in_the_place_of_the_lock_or_the_link_hinders_no_job(
    spool: Spool, new_job: NewJob, tmp_path: Path
) -> None:
    index = JobIndex(spool)
    (spool.layout.spool / "index.sqlite3.lock").write_bytes(os.urandom(100))
    (spool.layout.spool / "index.sqlite3").symlink_to(tmp_path / "nowhere" / "index.sqlite3")
    spool._observer = index
    spool.submit(new_job())
    with pytest.raises(IndexUnavailable):
        index.counts()
    index.repair()
    assert index.counts().pending == 1
