"""Orders grow, over processes, restarts and small steps of the clock; their date is right after any step."""

from __future__ import annotations

import multiprocessing
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jobs import ids
from jobs.ids import SKEW_SECONDS, OrderClock


def _issue(path: Path, count: int) -> list[str]:
    clock = OrderClock(path)
    return [clock.issue() for _ in range(count)]


def test_orders_of_several_processes_are_distinct_and_each_grows(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        runs = pool.starmap(_issue, [(tmp_path / "order", 500)] * 3)
    assert all(run == sorted(run) for run in runs)
    issued = [order for run in runs for order in run]
    assert len({order[:18] for order in issued}) == 1500, "no two share a tick"


SECOND = 10**9
#: Steps of the clock in nanoseconds: small ones, and any.
SMALL = st.integers(-20 * SECOND, 20 * SECOND)
ANY = st.integers(-(400 * 86_400 * SECOND), 400 * 86_400 * SECOND)


def _orders_over(path: Path, steps: list[int]) -> list[tuple[int, str]]:
    """What a clock that steps says, and the order issued then."""
    now, found = 1_800_000_000 * SECOND, []
    for step in steps:
        now += step
        found.append((now, OrderClock(path, now=partial(int, now)).issue()))
    return found


@settings(deadline=None, max_examples=60)
@given(steps=st.lists(SMALL, max_size=20))
def test_orders_grow_while_the_clock_is_nearly_right(
    steps: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As long as it never stands more than the skew behind what it has said."""
    found = _orders_over(tmp_path_factory.mktemp("clock") / "order", steps)
    latest = 0
    for now, _ in found:
        assume(latest - now < SKEW_SECONDS * SECOND)
        latest = max(latest, now)
    orders = [order for _, order in found]
    assert orders == sorted(orders)
    assert len(set(orders)) == len(orders)


@settings(deadline=None, max_examples=60)
@given(steps=st.lists(st.one_of(SMALL, ANY), max_size=20))
def test_orders_have_todays_date_whatever_the_clock_has_done(
    steps: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = _orders_over(tmp_path_factory.mktemp("clock") / "order", steps)
    for now, order in found:
        ahead = ids.accepted_at(order).timestamp() - now / SECOND
        assert -0.002 <= ahead <= SKEW_SECONDS + 0.002
    assert len({order for _, order in found}) == len(found)


@pytest.mark.parametrize("year", [2031, 2150, 9998])
def test_a_counter_of_another_century_is_told_of_and_left(
    year: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "order"
    ahead = int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) * 4096
    path.write_bytes(ahead.to_bytes(8, "big"))
    orders = [OrderClock(path).issue() for _ in range(3)]
    assert orders == sorted(orders)
    assert abs(ids.accepted_at(orders[0]).timestamp() - time.time()) < 5
    assert sum("ahead of the clock" in message for message in caplog.messages) == 1


@settings(deadline=None)
@given(content=st.binary(max_size=12))
def test_a_damaged_counter_never_stops_the_clock(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("clock") / "order"
    path.write_bytes(content)
    order = OrderClock(path).issue()
    assert ids.is_order(order)
    ids.accepted_at(order)
    ids.image_folder(ids.image_id(order, 1))


def test_orders_sort_after_those_that_are_known(tmp_path: Path) -> None:
    later = OrderClock(tmp_path / "a", now=lambda: 1_800_000_030 * 10**9).issue()
    clock = OrderClock(tmp_path / "b", now=lambda: 1_800_000_000 * 10**9)
    clock.never_before(later)
    assert clock.issue() > later


@given(text=st.text(max_size=70))
def test_job_ids_are_safe_file_names(text: str) -> None:
    if ids.is_job_id(text):
        assert text.isascii()
        assert not set(text) & set("./\\\0\n ")
        assert 1 <= len(text) <= 64


@pytest.mark.parametrize("text", ["", "..", ".", "a/b", "a\n", "a\0", "x" * 65, "é", "\uff11", "a.json", " a"])
def test_these_are_no_job_ids(text: str) -> None:
    assert not ids.is_job_id(text)


@given(number=st.integers(1, 8), now=st.integers(0, 4_000_000_000 * 10**9))
def test_image_ids_lead_back_to_their_order_and_date(number: int, now: int) -> None:
    order = ids._order_from_tick(now * 4096 // 10**6)
    image = ids.image_id(order, number)
    assert ids.is_image_id(image)
    assert ids.image_order(image) == order
    assert ids.image_folder(image) == ids.accepted_at(order).strftime("%Y/%m/%d")
