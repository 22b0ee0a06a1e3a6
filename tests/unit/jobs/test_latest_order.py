"""At a start new orders are made to sort after the known ones; the ids that people choose have no part in it."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core import files
from core.layout import Layout
from jobs.drops.adopter import Adopter
from jobs.ids import SKEW_SECONDS, OrderClock, accepted_at, is_job_id
from jobs.latest_order import MOST_READ
from jobs.requests import RequestValidator
from jobs.schema import Job, State, encode
from jobs.spool import Spool
from tests.faults import scenario

NewJob = Callable[..., Job]
NANOSECONDS = 10**9
YEAR = 365 * 86_400

ODD_IDS = ["055a9c41-5c00-7000-8000-000000000000", "ffffffff-ffff-7fff-bfff-ffffffffffff"]
#: Ids of people: any, and such as look like orders of any time.
CHOSEN = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    st.from_regex(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", fullmatch=True),
).filter(is_job_id)


def clock_at(spool: Spool, seconds: float) -> None:
    """Let the spool's clock stand `seconds` from now."""
    now = time.time_ns() + int(seconds * NANOSECONDS)
    spool.clock = OrderClock(spool.layout.spool / "order", now=lambda: now)


def seconds_ahead(order: str) -> float:
    return accepted_at(order).timestamp() - time.time()


@settings(deadline=None, max_examples=60)
@given(chosen=st.lists(CHOSEN, max_size=5, unique_by=str.casefold))
@example(chosen=ODD_IDS)
def test_no_id_that_somebody_chose_decides_an_order(chosen: list[str]) -> None:
    folder = Path(tempfile.mkdtemp())
    spool = Spool(Layout(folder / "data"))
    spool.prepare()
    adopter = Adopter(spool, scenario.validator(folder / "models"), 30)
    for number, job_id in enumerate(chosen):
        drop = json.dumps({"id": job_id, "model_id": "tiny", "prompt": "a castle"})
        (spool.layout.incoming / f"{number}.json").write_text(drop, encoding="utf-8")
    assert set(adopter.scan().adopted) == set(chosen)
    orders = [spool.find(job_id)[1].order for job_id in chosen]
    for state in State:  # wherever they are
        for job_id in list(spool.ids(State.PENDING))[: len(chosen) // 2]:
            spool.path(State.PENDING, job_id).rename(spool.path(state, job_id))
    Spool(Layout(folder / "data")).prepare()  # as an API worker that takes the place of another does
    issued = spool.clock.issue()
    assert abs(seconds_ahead(issued)) < 5
    assert issued > max(orders, default="")
    shutil.rmtree(folder)


@pytest.mark.parametrize("ahead", [-YEAR, -1.0, 30.0])
def test_orders_go_on_after_the_known_ones_if_the_counter_is_lost(spool: Spool, new_job: NewJob, ahead: float) -> None:
    clock_at(spool, ahead)
    job = new_job()
    spool.submit(job)
    (spool.layout.spool / "order").unlink()
    again = Spool(spool.layout)
    again.prepare()
    assert again.clock.issue() > job.order


def test_the_order_of_a_job_with_an_odd_id_counts_and_not_its_id(spool: Spool, new_job: NewJob) -> None:
    clock_at(spool, 30)
    job = new_job(ODD_IDS[0])
    spool.submit_named(job)
    (spool.layout.spool / "order").unlink()
    again = Spool(spool.layout)
    again.prepare()
    issued = again.clock.issue()
    assert issued > job.order
    assert seconds_ahead(issued) < 31


@pytest.mark.parametrize("is_counter_lost", [False, True])
def test_a_clock_that_was_years_ahead_is_not_followed(spool: Spool, new_job: NewJob, is_counter_lost: bool) -> None:
    clock_at(spool, 5 * YEAR)
    spool.submit(new_job())
    if is_counter_lost:
        spool.layout.order.unlink()
    clock_at(spool, 0)
    if not is_counter_lost:
        assert abs(seconds_ahead(spool.clock.issue())) < 5, "while it runs"
    again = Spool(spool.layout)
    again.prepare()
    assert seconds_ahead(again.clock.issue()) < SKEW_SECONDS + 1


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"order": 5}', b'{"order": "zzz"}'])
def test_a_file_that_tells_no_order_is_no_hindrance(spool: Spool, content: bytes) -> None:
    spool.path(State.PENDING, ODD_IDS[0]).write_bytes(content)
    spool.prepare()
    assert abs(seconds_ahead(spool.clock.issue())) < 5


def test_few_files_are_read_however_many_ids_are_ahead(
    spool: Spool, validator: RequestValidator, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encode(new_job())
    for number in range(MOST_READ + 500):
        spool.path(State.COMPLETED, f"ffffffff-ffff-7fff-bfff-{number:012x}").write_bytes(content)
    read, asked = files.read, []
    monkeypatch.setattr(files, "read", lambda path: (asked.append(path), read(path))[1])
    spool.prepare()
    assert len(asked) == MOST_READ
    assert abs(seconds_ahead(spool.clock.issue())) < 5


def test_no_file_is_read_for_names_of_the_past(spool: Spool, new_job: NewJob, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        spool.submit(new_job())
    monkeypatch.setattr(files, "read", lambda path: pytest.fail(f"read {path}"))
    spool.prepare()
