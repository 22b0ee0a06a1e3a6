"""The pools of threads, as a gevent worker uses them: in a process of their own, where gevent has replaced sockets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from falcon.testing import TestClient

from http_api.server import blocking
from outputs.index.image_index import ImageIndex
from service.services import Services
from tests.conftest import REPOSITORY

_BEGINNING = """
from gevent import monkey
monkey.patch_all()
import gevent, os, threading, time
from gevent.monkey import get_original
from http_api.server import blocking
from http_api.server.blocking import Pool, TooBusy, run
Event = get_original("threading", "Event")
"""


def under_gevent(program: str) -> str:
    """What a program prints in a process like that of a worker."""
    command = [sys.executable, "-c", _BEGINNING + program]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.strip()


def test_a_write_is_done_however_many_searches_hang_and_wait() -> None:
    """The searches here last until the write was done: with one pool for both nothing would ever end."""
    program = """
written = Event()
searches = [gevent.spawn(run, lambda: written.wait(100), blocking.SEARCHES) for _ in range(40)]
gevent.sleep(0)
print(run(lambda: "stored"), sum(search.ready() for search in searches))
written.set()
"""
    assert under_gevent(program) == "stored 0"


def test_a_pool_does_no_more_at_once_than_it_has_threads_and_keeps_the_order() -> None:
    program = """
pool, began, most, now = Pool(1), [], [0], [0]
def work(number):
    now[0] += 1
    most[0] = max(most[0], now[0])
    began.append(number)
    get_original("time", "sleep")(0.001)
    now[0] -= 1
gevent.joinall([gevent.spawn(run, lambda number=number: work(number), pool) for number in range(50)])
print(most[0], began == sorted(began), len(began))
"""
    assert under_gevent(program) == "1 True 50"


def test_who_waits_too_long_is_refused_and_the_next_one_is_not() -> None:
    program = """
pool, go = Pool(1, longest_wait=0.05), Event()
first = gevent.spawn(run, lambda: go.wait(100), pool)
gevent.sleep(0)
try:
    run(lambda: None, pool)
except TooBusy as error:
    print(error)
go.set()
first.join()
print(run(lambda: "done", pool))
"""
    refused, done = under_gevent(program).splitlines()
    assert refused == "Too many requests of this kind are waiting; this one was given up after 0.05 seconds."
    assert done == "done"


def test_an_error_is_raised_where_the_work_was_asked_for_and_frees_its_place() -> None:
    program = """
pool = Pool(1)
def fail():
    raise KeyError("x")
for _ in range(3):
    try:
        run(fail, pool)
    except KeyError as error:
        print(error, end=" ")
print(run(lambda: "done", pool))
"""
    assert under_gevent(program) == "'x' 'x' 'x' done"


def test_searches_stand_back_and_writes_do_not() -> None:
    program = """
def nice():
    return os.getpriority(os.PRIO_PROCESS, 0) - own
own = os.getpriority(os.PRIO_PROCESS, 0)
print(run(nice), run(nice, blocking.SEARCHES), run(nice, blocking.SEARCHES), nice())
"""
    assert under_gevent(program) == "0 5 5 0"


def test_a_search_that_waited_too_long_is_told_when_to_come_back(
    client_with: Callable[..., TestClient], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(*_: object, **__: object) -> None:
        raise blocking.TooBusy(10)

    monkeypatch.setattr(ImageIndex, "page", give_up)
    answer = client_with().simulate_get("/api/gallery", params={"search": "castle"})
    assert (answer.status_code, answer.headers["retry-after"], answer.json["error_type"]) == (503, "5", "busy")
