"""The index of jobs: it says what the directories say, whatever happens to either."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from core.errors import IndexUnavailable, InvalidRequest
from jobs.claims import claim
from jobs.index.job_index import JobIndex
from jobs.index.queries import Counts
from jobs.schema import Job, State, encode
from jobs.spool import Spool
from tests.conftest import REPOSITORY
from tests.programs import wait_until

NewJob = Callable[..., Job]


@pytest.fixture
def index(spool: Spool) -> JobIndex:
    """A built index that is told of every change."""
    index = JobIndex(spool)
    index.repair()
    spool._observer = index
    return index


def directories(spool: Spool) -> dict[str, int]:
    """The counts as the directories give them."""
    sizes = dict.fromkeys((state.counted_as for state in State), 0)
    for state in State:
        sizes[state.counted_as] += len(list(spool.ids(state)))
    return {**sizes, "total": sum(sizes.values())}


def counts(index: JobIndex) -> dict[str, int]:
    """The counts as the index gives them."""
    found = index.counts()
    return {name: getattr(found, name) for name in found.__struct_fields__}


def finish(spool: Spool, job: Job, final: State = State.COMPLETED) -> None:
    """Run a pending job to its end."""
    held = claim(spool, job.id)
    assert held is not None
    held.complete() if final is State.COMPLETED else held.cancel()


def in_state(job: Job, spool: Spool, state: State) -> None:
    """Put a job's file into a state's directory as a person would, and tell nobody."""
    (spool.layout.spool / state / f"{job.id}.json").write_bytes(encode(job))


def aged(job: Job, hours: float) -> Job:
    """The same job, accepted earlier."""
    moment = int(job.order.replace("-", "")[:12], 16) - int(hours * 3_600_000)
    digits = f"{moment:012x}"
    order = f"{digits[:8]}-{digits[8:]}{job.order[13:]}"
    return job.evolve(id=order, order=order)


def test_says_it_is_not_built_until_it_is(spool: Spool) -> None:
    index = JobIndex(spool)
    with pytest.raises(IndexUnavailable, match="being built"):
        index.counts()
    assert index.needs_repair()
    index.repair()
    assert counts(index)["total"] == 0


def test_follows_a_job_through_its_life(index: JobIndex, spool: Spool, new_job: NewJob) -> None:
    first, second = new_job(), new_job()
    for job in (first, second):
        spool.submit(job)
    assert counts(index) == {"pending": 2, "processing": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 2}
    held = claim(spool, first.id)
    assert held is not None
    assert counts(index) == {"pending": 1, "processing": 1, "completed": 0, "failed": 0, "cancelled": 0, "total": 2}
    held.requeue(refund_attempt=True)
    assert counts(index)["pending"] == 2
    finish(spool, first)
    spool.cancel(second.id)
    assert counts(index) == {"pending": 0, "processing": 0, "completed": 1, "failed": 0, "cancelled": 1, "total": 2}
    assert not index.repair()


def test_a_late_note_of_an_earlier_state_is_not_taken(index: JobIndex, spool: Spool, new_job: NewJob) -> None:
    job = new_job()
    spool.submit(job)
    finish(spool, job)
    index.job_changed(job, State.PENDING)
    assert counts(index)["completed"] == 1


def test_position_counts_the_jobs_before(index: JobIndex, spool: Spool, new_job: NewJob) -> None:
    jobs = [new_job() for _ in range(5)]
    for job in reversed(jobs):
        spool.submit(job)
    assert [index.position(job) for job in jobs] == [0, 1, 2, 3, 4]
    finish(spool, jobs[1])
    assert [index.position(job) for job in jobs[2:]] == [1, 2, 3]


def test_mean_duration_is_of_the_latest_completed_jobs(index: JobIndex, spool: Spool, new_job: NewJob) -> None:
    assert index.mean_duration("tiny") is None
    for seconds in (100.0, 2.0, 4.0):
        in_state(new_job().evolve(duration_seconds=seconds), spool, State.COMPLETED)
    in_state(new_job().evolve(duration_seconds=50.0), spool, State.FAILED)
    index.repair()
    assert index.mean_duration("tiny", sample=2) == 3.0
    assert index.mean_duration("other") is None


def test_statistics_are_of_the_last_24_hours_exactly(index: JobIndex, spool: Spool, new_job: NewJob) -> None:
    now = int(new_job().order.replace("-", "")[:12], 16) / 1000
    for hours, state in (
        (0.5, State.COMPLETED),
        (23.99, State.COMPLETED),
        (24.01, State.COMPLETED),
        (48, State.FAILED),
    ):
        in_state(aged(new_job(), hours).evolve(duration_seconds=hours), spool, state)
    in_state(aged(new_job(), 1).evolve(model_id="far"), spool, State.CANCELLED)
    in_state(aged(new_job(), 2), spool, State.FAILED)
    in_state(new_job(), spool, State.PENDING)
    index.repair()
    found = index.statistics(now + 1)
    expected = Counts(pending=1, processing=0, completed=2, failed=1, cancelled=1, total=5)
    assert found.recent_24h == expected
    assert found.avg_processing_time_seconds == pytest.approx((0.5 + 23.99) / 2, abs=0.01)
    assert found.failure_rate == 33.33
    assert {name: of.total for name, of in found.models.items()} == {"tiny": 4, "far": 1}
    assert index.statistics(now + 4 * 86400).recent_24h.total == 0


def test_pages_meet_every_job_once_newest_first(index: JobIndex, spool: Spool, new_job: NewJob) -> None:
    jobs = [new_job().evolve(model_id=random.choice(["tiny", "far"])) for _ in range(23)]
    states = [random.choice(list(State)) for _ in jobs]
    for job, state in zip(jobs, states, strict=True):
        in_state(job, spool, state)
    index.repair()
    chosen = (State.PENDING, State.FAILED, State.CANCELLED)
    expected = [job.id for job, state in zip(jobs, states, strict=True) if state in chosen and job.model_id == "far"]
    assert walk(index, states=chosen, model="far") == expected[::-1]
    assert walk(index) == [job.id for job in reversed(jobs)]


def walk(index: JobIndex, **filters: object) -> list[str]:
    """All ids, page by page."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = index.page(limit=4, cursor=cursor, **filters)  # type: ignore[arg-type]
        assert len(page.jobs) == 4 or page.next_cursor is None
        found += [job.id for _, job in page.jobs]
        cursor = page.next_cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("cursor", ["", "x", "zz.a", "g" * 32 + ".a", "0" * 31 + ".a"])
def test_a_made_up_cursor_is_refused(index: JobIndex, cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="next_cursor"):
        index.page(cursor=cursor)


def test_what_a_person_does_by_hand_is_found(index: JobIndex, spool: Spool, new_job: NewJob) -> None:
    jobs = [new_job() for _ in range(4)]
    for job in jobs:
        spool.submit(job)
    (spool.layout.spool / "pending" / f"{jobs[0].id}.json").unlink()
    os.rename(spool.path(State.PENDING, jobs[1].id), spool.path(State.FAILED, jobs[1].id))
    in_state(new_job("by-hand"), spool, State.COMPLETED)
    (spool.layout.spool / "completed" / "broken.json").write_text("{")
    assert index.needs_repair()
    index.repair()
    assert counts(index) == {"pending": 2, "processing": 0, "completed": 1, "failed": 1, "cancelled": 0, "total": 4}


def test_a_quiet_spool_needs_no_repair(index: JobIndex, spool: Spool, new_job: NewJob) -> None:
    spool.submit(new_job())

    def is_quiet() -> bool:
        index.repair()
        return not index.needs_repair()

    wait_until(is_quiet)
    assert index.repair() == 0


@pytest.mark.parametrize("seed", range(5))
def test_any_mix_of_changes_and_losses_is_repaired(spool: Spool, new_job: NewJob, seed: int) -> None:
    """Random life of a spool whose index hears of half of what happens."""
    chance = random.Random(seed)
    index = JobIndex(spool)
    index.repair()
    for _ in range(40):
        spool._observer = index if chance.random() < 0.5 else None
        pending = sorted(spool.ids(State.PENDING))
        if not pending or chance.random() < 0.5:
            spool.submit(new_job())
        else:
            finish(
                spool, spool.read(State.PENDING, chance.choice(pending)), chance.choice([State.COMPLETED, State.FAILED])
            )
        if chance.random() < 0.1:
            index.repair()
            assert counts(index) == directories(spool)
    index.repair()
    assert counts(index) == directories(spool)


# --- Damage ---------------------------------------------------------------------------------


def damage_header(path: Path) -> None:
    path.resolve().write_bytes(b"not a database at all" * 500)


def damage_pages(path: Path) -> None:
    with path.resolve().open("r+b") as stream:
        stream.seek(4096)
        stream.write(os.urandom(8 * 4096))


def damage_truncate(path: Path) -> None:
    os.truncate(path.resolve(), 5000)


def damage_empty(path: Path) -> None:
    os.truncate(path.resolve(), 0)


def damage_version(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 0")


def damage_tables(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE total")


def damage_missing(path: Path) -> None:
    path.resolve().unlink()


def damage_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    "damage",
    [
        damage_header,
        damage_pages,
        damage_truncate,
        damage_empty,
        damage_version,
        damage_tables,
        damage_missing,
        damage_link,
    ],
)
def test_a_damaged_index_is_rebuilt_and_never_touches_a_job(
    index: JobIndex, spool: Spool, new_job: NewJob, damage: Callable[[Path], None]
) -> None:
    for _ in range(30):
        spool.submit(new_job())
    fresh = JobIndex(spool)  # another process, with no open connections
    index.file.checkpoint()
    for suffix in ("-wal", "-shm"):
        Path(f"{index.file.path.resolve()}{suffix}").unlink(missing_ok=True)
    damage(index.file.path)
    spool._observer = fresh
    job = new_job()
    spool.submit(job)  # not refused, whatever the index is like
    assert spool.find(job.id)[0] is State.PENDING
    with suppress(IndexUnavailable):  # the other right answer
        assert counts(fresh)["pending"] == 31
    fresh.repair()
    assert counts(fresh) == directories(spool)
    assert counts(index) == directories(spool)  # the old process goes over to the new file


def test_a_folder_in_the_place_of_the_index_disturbs_only_listings(spool: Spool, new_job: NewJob) -> None:
    index = JobIndex(spool)
    (spool.layout.spool / "index.sqlite3").mkdir()
    spool._observer = index
    spool.submit(new_job())
    with pytest.raises(IndexUnavailable):
        index.counts()
    shutil.rmtree(spool.layout.spool / "index.sqlite3")
    index.repair()
    assert counts(index)["pending"] == 1


def test_a_locked_index_delays_a_job_but_never_refuses_it(
    index: JobIndex, spool: Spool, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.sqlite_connections.BUSY_SECONDS", 0.05)
    other = sqlite3.connect(index.file.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    fresh = JobIndex(spool)
    spool._observer = fresh
    spool.submit(new_job())
    assert counts(fresh)["total"] == 0  # readers are not locked out
    other.execute("ROLLBACK")
    other.close()
    wait_until(lambda: _repaired(fresh))
    assert counts(fresh)["total"] == 1


def _repaired(index: JobIndex) -> bool:
    try:
        index.repair()
    except IndexUnavailable:
        return False
    return True


def test_reading_goes_on_while_the_index_is_rebuilt(index: JobIndex, spool: Spool, new_job: NewJob) -> None:
    for _ in range(20):
        spool.submit(new_job())
    stop = threading.Event()
    seen: Counter[int] = Counter()

    def read() -> None:
        while not stop.is_set():
            seen[counts(index)["total"]] += 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(10):
            JobIndex(spool).rebuild()
    finally:
        stop.set()
        reader.join()
    assert set(seen) == {20}


def test_many_processes_may_rebuild_and_write_at_once(index: JobIndex, spool: Spool, new_job: NewJob) -> None:
    for _ in range(10):
        spool.submit(new_job())
    code = (
        "import sys; from pathlib import Path\n"
        "from service.maintenance import repair; from tests.indexes import data_at\n"
        "for turn in range(5): repair(data_at(Path(sys.argv[1])), rebuild=turn % 2 == 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    others = [subprocess.Popen([sys.executable, "-c", code, str(spool.layout.data)], env=environment) for _ in range(3)]
    while any(other.poll() is None for other in others):
        spool.submit(new_job())
    assert [other.returncode for other in others] == [0, 0, 0]
    index.repair()
    assert counts(index) == directories(spool)
    assert len(list(spool.layout.spool.glob("index.*.sqlite3"))) == 1


def test_a_child_does_not_share_connections(index: JobIndex, spool: Spool, new_job: NewJob) -> None:
    spool.submit(new_job())
    assert counts(index)["total"] == 1
    child = os.fork()
    if child == 0:
        spool.submit(new_job())
        os._exit(0 if counts(index)["total"] == 2 else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert counts(index)["total"] == 2
