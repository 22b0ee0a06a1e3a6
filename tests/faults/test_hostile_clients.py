"""Too many, too slow and deceitful clients, and API workers that are killed (reliability.md F1, F2, F8, F13)."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from core.layout import Layout
from http_api.access import digest_of
from jobs.schema import State
from jobs.spool import Spool
from tests.faults.hostile import BODY, POST, connect, environment
from tests.faults.table import record
from tests.programs import ApiProcess, api, children_of, wait_until

# --- Slow clients ---------------------------------------------------------------------------------


def test_slow_clients_do_not_starve_others(server: ApiProcess) -> None:
    slow_clients(server, 200, rounds=20, patience=10.0)


@pytest.mark.long
def test_500_slow_clients_do_not_starve_others(server: ApiProcess) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    slow_clients(server, 500, rounds=200, patience=10.0)


def slow_clients(server: ApiProcess, count: int, *, rounds: int, patience: float) -> None:
    """Half of them never end their headers, half never end their bodies; a status must still come."""
    job = server.post("/generate", json=BODY).json()["job_id"]
    head = POST + b"Content-Length: 500\r\n"
    connections = [connect(server) for _ in range(count)]
    try:
        for number, connection in enumerate(connections):
            connection.sendall(head + (b"\r\n{" if number % 2 else b""))
        seconds = []
        with httpx.Client(base_url=server.base, timeout=patience) as client:
            for number in range(rounds):
                with suppress(OSError):
                    connections[number % count].sendall(b"x")
                started = time.monotonic()
                assert client.get(f"/api/status/{job}").status_code == 200
                seconds.append(time.monotonic() - started)
    finally:
        for connection in connections:
            connection.close()
    worst = sorted(seconds)[int(len(seconds) * 0.99)]
    record(f"F2 {count} slow connections (p99 of /status: {worst * 1000:.0f} ms)", rounds)


# --- Who asks -------------------------------------------------------------------------------------


def test_the_limit_is_exact_over_workers_and_restarts_whatever_addresses_are_claimed(tmp_path: Path) -> None:
    with api(tmp_path / "data", environment(tmp_path, rate_limit="10/hour"), workers=4) as server:
        with ThreadPoolExecutor(16) as crowd:
            answers = list(crowd.map(lambda number: spoofed(server, number), range(160)))
        server.end()
        server.start()
        server.wait_until_ready()
        answers += [spoofed(server, number) for number in range(160, 170)]
    codes = [answer.status_code for answer in answers]
    assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 429)
    wrong = [] if (codes.count(200), codes.count(429)) == (10, 160) else [f"{Counter(codes)}"]
    record("F8 F13 spoofed addresses, four workers, a restart: the limit is exact", len(codes), wrong)


def spoofed(server: ApiProcess, number: int) -> httpx.Response:
    """A job from a client that claims to be another one each time."""
    headers = {"X-Forwarded-For": f"10.0.0.{number}", "X-Real-IP": f"10.1.0.{number}"}
    return server.post("/generate", json=BODY, headers=headers | {"Forwarded": f"for=10.2.0.{number}"})


def test_changes_of_the_keys_are_known_to_every_worker_at_once(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"first submit,read {digest_of('one')}\n", encoding="utf-8")
    with api(tmp_path / "data", environment(tmp_path, api_keys=str(keys)), workers=4) as server:

        def codes(key: str) -> set[int]:
            headers = {"Authorization": f"Bearer {key}"}
            return {server.post("/generate", json=BODY, headers=headers).status_code for _ in range(12)}

        assert (codes("one"), codes("two")) == ({200}, {401})
        keys.write_text(f"second submit {digest_of('two')}\n", encoding="utf-8")
        assert (codes("one"), codes("two")) == ({401}, {200})
        keys.unlink()
        assert (codes("one"), codes("two")) == ({401}, {401})
    record("API2 keys withdrawn and added while four workers run", 72)


def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    with api(tmp_path / "data", environment(tmp_path, max_pending="3")) as server:
        answers = [server.post("/generate", json=BODY) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 503, 503]
        assert "Retry-After" in answers[-1].headers
        assert answers[-1].json()["status"] == "error"
    record("API6 the cap on pending jobs", len(answers))


# --- Killed while it accepts ----------------------------------------------------------------------


class InsistentClients:
    """Send one job after the other, each again under its `Idempotency-Key` until it is answered."""

    def __init__(self, server: ApiProcess, count: int) -> None:
        #: The id of the job that each key was answered with.
        self.accepted: dict[str, str] = {}
        self._server = server
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send_all, args=(number,)) for number in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send_all(self, client: int) -> None:
        for number in itertools.count():
            key = f"{client}-{number}"
            while key not in self.accepted:
                if self._stop.is_set():
                    return
                self._send(key)

    def _send(self, key: str) -> None:
        with suppress(httpx.TransportError):
            headers = {"Idempotency-Key": key}
            answer = httpx.post(f"{self._server.base}/api/generate", json=BODY, headers=headers, timeout=30)
            if answer.status_code == 200:
                self.accepted[key] = answer.json()["job_id"]


def test_killed_and_stopped_api_workers_lose_and_double_no_job(tmp_path: Path) -> None:
    """Workers die by SIGKILL, then the whole server gets SIGTERM, all while it accepts."""
    clients = 3
    api_of_two = api(tmp_path / "data", environment(tmp_path), workers=2)
    with api_of_two as server, InsistentClients(server, clients) as sent:
        kills = 0
        while kills < 8:
            seen = len(sent.accepted) + 2
            wait_until(lambda seen=seen: len(sent.accepted) > seen, about="more jobs")  # type: ignore[misc]
            with suppress(ProcessLookupError, IndexError):
                os.kill(children_of(server.pid)[0], signal.SIGKILL)
                kills += 1
        server.end()  # gunicorn misses a worker that is just being born, and kills it after 30 s
    spool, jobs = Spool(Layout(tmp_path / "data")), list(sent.accepted.values())
    stored = set(spool.ids(State.PENDING))
    found = [f"{job_id} was acknowledged and is lost" for job_id in jobs if job_id not in stored]
    found += [f"{job_id} is torn" for job_id in stored if spool.find(job_id)[1].id != job_id]
    if not len(set(jobs)) == len(jobs) >= len(stored) - clients:
        found.append(f"{len(stored)} jobs for {len(jobs)} keys that were answered and {clients} that were not")
    record("A4 A19 F1 API workers killed and stopped while they accept, requests repeated", len(jobs), found)


def test_an_idempotency_key_makes_one_job_however_often_it_is_sent(server: ApiProcess) -> None:
    answers: list[Any] = []

    def send() -> None:
        answers.append(server.post("/generate", json=BODY, headers={"Idempotency-Key": "the-same"}))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {200}
    jobs = {answer.json()["job_id"] for answer in answers}
    record("A4 one Idempotency-Key, many requests at once", len(answers), [] if len(jobs) == 1 else [f"{jobs}"])
