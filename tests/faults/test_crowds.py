"""More slow, waiting and unread connections than a worker has room for (reliability.md F16, F17)."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.faults.hostile import BODY, POST, connect, environment
from tests.faults.table import record
from tests.faults.test_readers import SIZE, begin, commit, descriptors
from tests.programs import ApiProcess, api, children_of, wait_until

#: So few open files for the API that the quick form fills it as the long one fills one with all it may have.
FEW_FILES = 400


def test_a_crowd_of_slow_waiting_and_unread_connections_starves_nobody(tmp_path: Path) -> None:
    with api(tmp_path / "data", environment(tmp_path), workers=2, files=FEW_FILES) as server:
        crowd(server, idle=300, slow=50, waiting=300, unread=200, rounds=100)


@pytest.mark.long
def test_9500_slow_waiting_and_unread_connections_starve_nobody(tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 10_000:
        pytest.skip(f"at most {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (10_000, hard))
    with api(tmp_path / "data", environment(tmp_path), workers=2) as server:
        crowd(server, idle=400, slow=500, waiting=4000, unread=5000, rounds=300)


def crowd(server: ApiProcess, *, idle: int, slow: int, waiting: int, unread: int, rounds: int) -> None:
    """All of them at once, and a client that only wants to know how its job is doing."""
    job = server.post("/generate", json=BODY).json()["job_id"]
    image = commit(server, os.urandom(SIZE))
    quiet = slowest(server, job, rounds)
    wait = f"GET /api/status/{job}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    download = f"GET /api/get_image/{image} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with (
        connections(server, idle, b""),
        connections(server, slow, POST + b"Content-Length: 500\r\n\r\n{"),
        connections(server, waiting, wait),
        connections(server, unread, download),
    ):
        slowest(server, job, 10)  # the connections are accepted in order, so these come after all of them
        crowded = slowest(server, job, rounds)
        found = [] if crowded <= max(0.25, 3 * quiet) else [f"{crowded:.3f} s, and {quiet:.3f} s before"]
    what = f"F16 {idle} idle, {slow} slow, {waiting} waiting, {unread} unread connections"
    record(f"{what} (p99 of /status: {crowded * 1000:.0f} ms)", rounds, found)


def slowest(server: ApiProcess, job: str, rounds: int) -> float:
    """The 99th percentile of the seconds to the status of a job, each over a new connection."""
    seconds = []
    for _ in range(rounds):
        started = time.monotonic()
        assert server.client.get(f"{server.base}/api/status/{job}", timeout=20).status_code == 200
        seconds.append(time.monotonic() - started)
    return sorted(seconds)[int(rounds * 0.99)]


@contextmanager
def connections(server: ApiProcess, count: int, request: bytes) -> Iterator[list[socket.socket]]:
    """Connections that send this and then do nothing, not even read."""
    with ExitStack() as opened:
        found = []
        for _ in range(count):
            found.append(opened.enter_context(closing(connect(server))))
            found[-1].sendall(request)
        yield found


def test_who_takes_nothing_is_let_go(tmp_path: Path) -> None:
    """With a second of patience, and one line in the log for each."""
    impatient = api(tmp_path / "data", environment(tmp_path), config="tests.faults.impatient_conf")
    with impatient as server, ExitStack() as opened:
        image = commit(server, b"x" * SIZE)
        (worker,) = children_of(server.pid)
        server.get("/models")
        before = descriptors(worker)
        for _ in range(20):
            opened.enter_context(closing(begin(server, image)))
        wait_until(lambda: descriptors(worker) <= before, about="the worker to let go of its readers")
        output = server.output()
    assert output.count("which took nothing") == 20
    record("F17 clients that take nothing", 20, ["a traceback"] if "Traceback" in output else [])


def test_what_cannot_wait_is_answered_at_once(tmp_path: Path) -> None:
    with api(tmp_path / "data", environment(tmp_path), files=FEW_FILES) as server:
        job = server.post("/generate", json=BODY).json()["job_id"]
        wait = f"GET /api/status/{job}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        stream = f"GET /api/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        with connections(server, 60, wait), connections(server, 60, stream):
            began = time.monotonic()
            answer = server.get(f"/status/{job}", params={"wait": 60})
            assert time.monotonic() - began < 30
            assert (answer.json()["status"], answer.headers["Retry-After"]) == ("pending", "5")
            refused = server.get(f"/jobs/{job}/events")
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    record("F16 a place that is taken is said so", 2)
