"""The rate limiter by itself: against a model, over processes, and with a clock that misbehaves."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StorageUnavailable
from core.settings import RateLimit
from service.errors import RateLimited
from service.rate_limit import Limited, RateLimiter
from tests.conftest import REPOSITORY

HOUR = RateLimit(amount=3, seconds=3600)


@given(gaps=st.lists(st.integers(0, 2000), max_size=40))
def test_no_window_holds_more_than_the_amount(tmp_path_factory: pytest.TempPathFactory, gaps: list[int]) -> None:
    clock = [1000.0]
    limiter = RateLimiter(tmp_path_factory.mktemp("limit") / "hits", HOUR, lambda: clock[0])
    accepted: list[float] = []
    for gap in gaps:
        clock[0] += gap
        recent = [moment for moment in accepted if moment > clock[0] - HOUR.seconds]
        if len(recent) < HOUR.amount:
            limiter.charge("a")
            accepted.append(clock[0])
            continue
        with pytest.raises(RateLimited) as refused:
            limiter.charge("a")
        assert refused.value.wait == max(1, int(recent[0] + HOUR.seconds - clock[0]))


def test_clients_are_counted_apart(tmp_path: Path) -> None:
    limiter = RateLimiter(tmp_path / "hits", RateLimit(amount=1, seconds=60))
    limiter.charge("a")
    limiter.charge("b")
    with pytest.raises(RateLimited):
        limiter.charge("a")


def test_a_refund_gives_the_place_back(tmp_path: Path) -> None:
    limiter = RateLimiter(tmp_path / "hits", RateLimit(amount=1, seconds=60))
    limiter.refund(limiter.charge("a"))
    limiter.charge("a")
    with pytest.raises(RateLimited):
        limiter.charge("a")


@pytest.mark.parametrize("step", [-3600.0, -31_536_000.0])
def test_a_clock_set_back_blocks_for_one_window_at_most(tmp_path: Path, step: float) -> None:
    clock = [2_000_000_000.0]
    limiter = RateLimiter(tmp_path / "hits", RateLimit(amount=1, seconds=60), lambda: clock[0])
    limiter.charge("a")
    clock[0] += step
    with pytest.raises(RateLimited) as refused:
        limiter.charge("a")
    assert refused.value.wait <= 60
    clock[0] += 60
    limiter.charge("a")


def test_kinds_are_counted_apart_and_forget_only_their_own(tmp_path: Path) -> None:
    clock = [1000.0]
    path, hour, second = tmp_path / "hits", RateLimit(amount=1, seconds=3600), RateLimit(amount=1, seconds=1)
    jobs = RateLimiter(path, hour, lambda: clock[0])
    prompts = RateLimiter(path, second, lambda: clock[0], kind=Limited.FORWARDED_PROMPTS)
    jobs.charge("a")
    prompts.charge("a")
    with pytest.raises(RateLimited, match="1 forwarded prompts per second"):
        prompts.charge("a")
    clock[0] += 2
    prompts.charge("a")
    with pytest.raises(RateLimited, match="1 jobs per hour"):
        jobs.charge("a")
    assert (jobs.refused(), prompts.refused()) == (1, 1)


def test_this_machine_is_not_limited_where_only_others_are(tmp_path: Path) -> None:
    limiter = RateLimiter(tmp_path / "hits", RateLimit(amount=1, seconds=60, others_only=True))
    assert [limiter.charge("127.0.0.1", is_own_machine=True) for _ in range(5)] == [None] * 5
    limiter.charge("127.0.0.1")  # through a proxy
    with pytest.raises(RateLimited):
        limiter.charge("127.0.0.1")
    everybody = RateLimiter(tmp_path / "all", RateLimit(amount=1, seconds=60))
    everybody.charge("127.0.0.1", is_own_machine=True)
    with pytest.raises(RateLimited):
        everybody.charge("127.0.0.1", is_own_machine=True)


def test_a_file_of_the_first_version_keeps_its_charges(tmp_path: Path) -> None:
    path = tmp_path / "hits"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            """
            CREATE TABLE charge (id INTEGER PRIMARY KEY, client TEXT NOT NULL, at REAL NOT NULL);
            CREATE INDEX by_client ON charge (client, at);
            CREATE INDEX by_time ON charge (at);
            CREATE TABLE refused (one INTEGER PRIMARY KEY CHECK (one = 1), n INTEGER NOT NULL);
            INSERT INTO refused VALUES (1, 0);
            INSERT INTO charge (client, at) VALUES ('a', 990), ('a', 995), ('b', 999);
            """
        )
    limiter = RateLimiter(path, HOUR, lambda: 1000.0)
    limiter.charge("a")
    with pytest.raises(RateLimited) as refused:
        limiter.charge("a")
    assert refused.value.wait == 3590
    limiter.charge("b")


def test_a_damaged_file_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "hits"
    path.write_bytes(b"this is no database, whatever its name may say" * 100)
    limiter = RateLimiter(path, HOUR)
    with pytest.raises(StorageUnavailable):
        limiter.charge("a")
    assert limiter.charge("a") == 1


def test_exact_over_processes(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from service.rate_limit import RateLimiter; from service.errors import RateLimited\n"
        "from core.settings import RateLimit\n"
        "limiter = RateLimiter(Path(sys.argv[1]), RateLimit(amount=10, seconds=3600)); won = 0\n"
        "for _ in range(20):\n"
        "    try: limiter.charge('a'); won += 1\n"
        "    except RateLimited: pass\n"
        "print(won)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "hits")]
    running = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) for _ in range(4)]
    assert sum(int(process.communicate()[0]) for process in running) == 10
