"""Orders only grow: over processes, over restarts, over steps of the clock."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs import ids
from jobs.ids import OrderClock


def _issue(path: Path, count: int) -> list[str]:
    clock = OrderClock(path)
    return [clock.issue() for _ in range(count)]


def test_orders_of_several_processes_are_distinct_and_each_grows(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        runs = pool.starmap(_issue, [(tmp_path / "order", 500)] * 3)
    assert all(run == sorted(run) for run in runs)
    issued = [order for run in runs for order in run]
    assert len({order[:18] for order in issued}) == 1500, "no two share a tick"


@settings(deadline=None, max_examples=60)
@given(steps=st.lists(st.integers(-(400 * 86_400 * 10**9), 400 * 86_400 * 10**9), max_size=20))
def test_orders_grow_whatever_the_clock_does(steps: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("clock") / "order"
    now = 1_800_000_000 * 10**9
    orders = []
    for step in steps:
        now += step
        orders.append(OrderClock(path, now=lambda: now).issue())  # noqa: B023 - called at once
    assert orders == sorted(orders)
    assert len(set(orders)) == len(orders)


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
    later = OrderClock(tmp_path / "a", now=lambda: 1_900_000_000 * 10**9).issue()
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
