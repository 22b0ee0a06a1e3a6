"""What is remembered of callers: seen by every process, gone with what it is about, never in the way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from jobs.schema import Job
from jobs.spool import Spool
from service import callers
from service.callers import CallerOptions, Callers


def test_choices_belong_to_their_caller_and_are_seen_by_all_processes(spool: Spool) -> None:
    Callers(spool).choose("key a", CallerOptions(model="flux"))
    assert Callers(spool).options("key a").model == "flux"
    assert Callers(spool).options("key b").model is None


@pytest.mark.parametrize("content", [b"", b"[]", b'{"model": 1}', b"\xff"])
def test_choices_that_cannot_be_read_are_none(spool: Spool, content: bytes) -> None:
    Callers(spool).choose("key a", CallerOptions(model="flux"))
    (path,) = spool.layout.callers.iterdir()
    path.write_bytes(content)
    assert Callers(spool).options("key a") == CallerOptions()


def test_a_job_is_the_callers_while_it_waits(spool: Spool) -> None:
    mine = Callers(spool)
    with mine.calling("key a", "x"), mine.calling("key a", "y"), mine.calling("key b", "z"):
        assert sorted(Callers(spool).jobs("key a")) == ["x", "y"]
        assert Callers(spool).jobs("key b") == ["z"]
    assert Callers(spool).jobs("key a") == []


def test_the_sweep_removes_what_is_over_and_nothing_else(spool: Spool, new_job: Callable[..., Job]) -> None:
    alive, ended = new_job(), new_job()
    spool.submit(alive)
    spool.submit(ended)
    spool.cancel(ended.id)
    them = Callers(spool)
    them.choose("key a", CallerOptions(model="flux"))
    them.choose("key b", CallerOptions(model="flux"))
    old = spool.layout.caller_options(callers._name("key b"))
    os.utime(old, (time.time() - 40 * 86400,) * 2)
    with them.calling("key a", alive.id), them.calling("key a", ended.id), them.calling("key a", "never-was"):
        assert callers.sweep(spool) == 3
        assert them.jobs("key a") == [alive.id]
    assert them.options("key a").model == "flux"
    assert them.options("key b").model is None


def test_of_too_many_callers_the_oldest_are_forgotten(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "_MOST_CALLERS", 2)
    for number in range(4):
        Callers(spool).choose(f"key {number}", CallerOptions(model=str(number)))
        os.utime(spool.layout.caller_options(callers._name(f"key {number}")), (time.time() - 100 + number,) * 2)
    assert callers.sweep(spool) == 2
    assert [Callers(spool).options(f"key {number}").model for number in range(4)] == [None, None, "2", "3"]
