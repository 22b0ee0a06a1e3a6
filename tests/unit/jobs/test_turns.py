"""Moving jobs among those that wait: the order that results, wherever it is read, and what becomes of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import files
from core.errors import IndexUnavailable
from core.layout import Layout
from jobs import leftovers
from jobs.claims import claim
from jobs.pending import PendingQueue
from jobs.schema import Job, State
from jobs.spool import Spool
from jobs.turns import between, just_before, limit_at, rank
from service.data import Data
from service.errors import StateConflict
from service.queue import End, move
from tests.faults import scenario
from tests.indexes import data_at

NewJob = Callable[..., Job]
KEYS = st.text("0123456789abcdef", min_size=1, max_size=40).map(lambda digits: digits.rstrip("0") or "1")


@pytest.fixture
def data(spool: Spool) -> Data:
    found = data_at(spool.layout.data)
    found.jobs.repair()
    return found


def real_order(spool: Spool) -> list[str]:
    """The jobs as a runner that starts now would take them."""
    queue = PendingQueue(spool)
    queue.refresh()
    return rest(queue)


def rest(queue: PendingQueue) -> list[str]:
    found = []
    while (job := queue.pop()) is not None:
        found.append(job.id)
    return found


def submitted(data: Data, new_job: NewJob, count: int) -> list[str]:
    jobs = [new_job() for _ in range(count)]
    for job in jobs:
        data.spool.submit(job)
    return [job.id for job in jobs]


@given(st.lists(KEYS, min_size=2, max_size=2, unique=True))
def test_there_is_always_a_key_between_two(pair: list[str]) -> None:
    low, high = sorted(pair)
    middle = between(low, high)
    assert low < middle < high
    assert not middle.endswith("0")


@given(KEYS)
def test_there_is_a_key_before_every_one(key: str) -> None:
    assert just_before(key) < key


def test_keys_hardly_grow() -> None:
    low, key = "019a", "019b"
    for _ in range(100):
        key = between(low, key)
    assert len(key) <= 4 + 100 / 4 + 2
    for _ in range(1000):
        key = just_before(key)
    assert len(key) == 12


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_every_reader_sees_the_order_that_the_moves_made(drawn: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        validator = scenario.validator(Path(folder) / "models")
        request = validator.generate(b'{"model_id": "tiny", "prompt": "a castle"}')
        data = data_at(Path(folder) / "data")
        data.spool.prepare()
        data.jobs.repair()
        runner = PendingQueue(data.spool)
        expected: list[str] = []
        for _ in range(drawn.draw(st.integers(3, 9))):
            what = drawn.draw(st.sampled_from(["submit", "front", "back", "before"]))
            if what == "submit" or len(expected) < 2:
                order = data.spool.clock.issue()
                data.spool.submit(validator.job(request, job_id=order, order=order, source="http"))
                expected.append(order)
            else:
                moved, target = drawn.draw(st.permutations(expected))[:2]
                move(data, moved, target if what == "before" else End(what))
                expected.remove(moved)
                place = {"front": 0, "back": len(expected)}.get(what)
                expected.insert(expected.index(target) if place is None else place, moved)
            runner.refresh()
        assert rest(runner) == expected  # one that has looked all the time
        assert real_order(data.spool) == expected  # one that starts now
        assert data.jobs.active(100) == ([], expected)
        assert [data.jobs.position(data.spool.find(job_id)[1]) for job_id in expected] == list(range(len(expected)))
        data.jobs.rebuild()
        assert data.jobs.active(100) == ([], expected)


def test_a_moved_job_keeps_its_order_and_so_its_images(data: Data, new_job: NewJob) -> None:
    first, second = submitted(data, new_job, 2)
    before = files.read(data.spool.path(State.PENDING, second))
    move(data, second, End.FRONT)
    assert files.read(data.spool.path(State.PENDING, second)) == before
    assert real_order(data.spool) == [second, first]


def test_a_job_that_was_moved_keeps_its_place_when_it_comes_back(data: Data, new_job: NewJob) -> None:
    first, second, third = submitted(data, new_job, 3)
    move(data, third, End.FRONT)
    held = claim(data.spool, third)
    assert held is not None
    held.requeue()
    assert real_order(data.spool) == [third, first, second]


def test_what_was_moved_is_forgotten_when_the_job_ends(data: Data, new_job: NewJob) -> None:
    first, second = submitted(data, new_job, 2)
    move(data, second, End.FRONT)
    held = claim(data.spool, second)
    assert held is not None
    held.complete()
    assert list(data.layout.turns.iterdir()) == []
    data.spool.turns.put(second, "0")  # somebody died between the two
    leftovers.sweep(data.spool)
    assert list(data.layout.turns.iterdir()) == []
    assert real_order(data.spool) == [first]


def test_a_job_that_was_begun_meanwhile_is_not_moved(
    data: Data, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = submitted(data, new_job, 2)
    put = data.spool.turns.put

    def put_late(job_id: str, key: str) -> None:
        held = claim(data.spool, job_id)
        assert held is not None
        held.complete()
        put(job_id, key)

    monkeypatch.setattr(data.spool.turns, "put", put_late)
    with pytest.raises(StateConflict, match="is completed"):
        move(data, second, End.FRONT)
    assert list(data.layout.turns.iterdir()) == []
    with pytest.raises(StateConflict, match="is completed"):
        move(data, first, second)


def test_the_index_finds_out_where_jobs_were_moved_without_a_word(data: Data, new_job: NewJob) -> None:
    first, second = submitted(data, new_job, 2)
    other = Spool(Layout(data.layout.data))
    for keys in ({second: "001"}, {second: "002", first: "001"}):
        for job_id, key in keys.items():
            other.turns.put(job_id, key)
        assert data.jobs.needs_repair()
        data.jobs.repair()
        assert data.jobs.active(10)[1] == sorted(keys, key=lambda job_id: keys[job_id]) + [first] * (len(keys) == 1)


def test_a_move_waits_for_an_index_that_does_not_know_the_others(data: Data, new_job: NewJob) -> None:
    other = Spool(Layout(data.layout.data))
    jobs = [new_job() for _ in range(2)]
    for job in jobs:
        other.submit(job)
    with pytest.raises(IndexUnavailable, match="try again shortly"):
        move(data, jobs[1].id, End.FRONT)
    data.jobs.repair()
    move(data, jobs[1].id, End.FRONT)
    assert real_order(data.spool) == [jobs[1].id, jobs[0].id]


def test_a_file_that_holds_no_key_moves_nothing(data: Data, new_job: NewJob) -> None:
    jobs = submitted(data, new_job, 2)
    (data.layout.turns / jobs[1]).write_bytes(b"front, please")
    (data.layout.turns / jobs[0]).mkdir()
    assert data.spool.turns.all() == {}
    assert real_order(data.spool) == jobs


def test_jobs_ahead_of_the_clock_are_moved_among_themselves_and_before_the_others(data: Data, new_job: NewJob) -> None:
    """They were accepted before the clock was set back: see `jobs.pending`."""
    now = submitted(data, new_job, 2)
    years = [f"{job.order[:1]}{int(job.order[1:3], 16) + 9:02x}{job.order[3:]}" for job in (new_job(), new_job())]
    for order in years:
        data.spool.submit(new_job().evolve(id=order, order=order))
    assert real_order(data.spool) == [*years, *now]
    move(data, years[1], End.FRONT)
    assert real_order(data.spool) == data.jobs.active(9)[1] == [years[1], years[0], *now]
    move(data, now[1], years[0])
    assert real_order(data.spool) == data.jobs.active(9)[1] == [years[1], now[1], years[0], now[0]]
    move(data, years[1], now[0])
    assert real_order(data.spool) == data.jobs.active(9)[1] == [now[1], years[0], years[1], now[0]]
    positions = [data.jobs.position(data.spool.find(job_id)[1]) for job_id in real_order(data.spool)]
    assert positions == [0, 1, 2, 3]


def test_a_rank_is_the_key_unless_it_is_ahead_of_the_clock() -> None:
    limit = limit_at(1_800_000_000.0)
    assert rank("0", limit) == "0"
    assert rank("ffff", limit) == "!ffff"
    assert rank("!ffff", limit) == "!ffff"
