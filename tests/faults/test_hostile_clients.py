"""Hostile and unlucky clients against a real gunicorn (reliability.md F)."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.schema import State
from jobs.spool import Spool
from tests import tiny_models
from tests.faults.table import record
from tests.programs import REPOSITORY, ApiProcess, api, wait_until

#: The beginning of a request to submit.
POST = b"POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = {"model_id": "tiny-sd", "prompt": "a castle"}


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Settings with a catalog whose models are only names."""
    for key in ("tiny-sd", "tiny-flux", "tiny-sd3"):
        (folder / "weights" / key).mkdir(parents=True, exist_ok=True)
        (folder / "weights" / key / "model_index.json").write_text("{}", encoding="utf-8")
    (folder / "models.toml").write_text(tiny_models.catalog_text(), encoding="utf-8")
    chosen = {"CYBERIMAGE_CATALOG": str(folder / "models.toml"), "CYBERIMAGE_MODELS": str(folder / "weights")}
    return chosen | {f"CYBERIMAGE_{name.upper()}": value for name, value in settings.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """One API for the tests that leave it whole."""
    folder = tmp_path_factory.mktemp("hostile")
    with api(folder / "data", environment(folder)) as program:
        yield program


def connect(server: ApiProcess) -> socket.socket:
    address = httpx.URL(server.base)
    return socket.create_connection((address.host, address.port or 80), timeout=40)


def talk(server: ApiProcess, request: bytes) -> bytes:
    """Send raw bytes; answers all that comes back until the server closes or is silent for a second."""
    with closing(connect(server)) as connection:
        connection.sendall(request)
        connection.settimeout(5)
        parts = []
        with suppress(TimeoutError, ConnectionResetError):
            while part := connection.recv(65536):
                parts.append(part)
                connection.settimeout(1)
    return b"".join(parts)


def workers_of(server: ApiProcess) -> list[int]:
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(encoding="ascii")
    return [int(word) for word in children.split()]


def resident_kilobytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def pending(data: Path) -> list[str]:
    return list(Spool(data).ids(State.PENDING))


def data_of(server: ApiProcess) -> Path:
    return Path(server.environment["CYBERIMAGE_DATA"])


# --- Bodies and headers ---------------------------------------------------------------------------


def test_a_gigabyte_is_refused_before_it_is_read(server: ApiProcess) -> None:
    before = max(map(resident_kilobytes, workers_of(server)))
    head = POST + b"Content-Length: 1073741824\r\n\r\n"
    with closing(connect(server)) as connection:
        connection.sendall(head)
        answer = connection.recv(65536)
        with suppress(ConnectionError):
            for _ in range(64):
                connection.sendall(b"x" * 65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()
    assert max(map(resident_kilobytes, workers_of(server))) - before < 5_000
    record("F3 a body of 1 GiB", 1)


def test_too_few_bytes_make_no_job(server: ApiProcess) -> None:
    before = len(pending(data_of(server)))
    with closing(connect(server)) as connection:
        connection.sendall(POST + b'Content-Length: 50\r\n\r\n{"mode')
        connection.shutdown(socket.SHUT_WR)
        assert b" 200 " not in connection.recv(65536)[:20]
    assert len(pending(data_of(server))) == before
    record("F5 fewer bytes than declared", 1)


GOOD = b'{"model_id": "tiny-sd", "prompt": "smuggled"}'
LENGTH = b"%d" % len(GOOD)
SMUGGLED = [
    b"Content-Length: " + LENGTH + b"\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"Transfer-Encoding: xchunked\r\n\r\n",
    b"Transfer-Encoding : chunked\r\n\r\n",
    b"Transfer-Encoding: chunked, identity\r\n\r\n",
    b"Content-Length: " + LENGTH + b"\r\nContent-Length: 2\r\n\r\n",
    b"Content-Length: +" + LENGTH + b"\r\n\r\n",
    b"Content-Length: 0x10\r\n\r\n",
    b"Content-Length: " + LENGTH + b"\n\n",
    b"Transfer-Encoding: chunked\r\n\r\n",
]


@pytest.mark.parametrize("headers", SMUGGLED)
def test_ambiguous_requests_are_refused_and_the_connection_closed(server: ApiProcess, headers: bytes) -> None:
    before = len(pending(data_of(server)))
    second = b"GET /api/models HTTP/1.1\r\nHost: x\r\nX-Smuggled: yes\r\n\r\n"
    answer = talk(server, POST + headers + GOOD + second)
    assert b" 200 " not in answer, answer
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    assert len(pending(data_of(server))) == before
    record("F4 F7 chunked bodies and request smuggling", 1)


FLOODS = [
    b"GET /api/models HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(500)) + b"\r\n",
    b"GET /api/models HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 20_000 + b"\r\n\r\n",
    b"GET /api/models?" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/models HTTP/1.1\r\nHost: x\r\nX-Huge: " + b"y" * 5_000_000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\0" * 1000 + b"\r\n\r\n",
]


@pytest.mark.parametrize("flood", FLOODS)
def test_floods_of_headers_and_rubbish_are_refused(server: ApiProcess, flood: bytes) -> None:
    answer = b""
    with suppress(ConnectionError):
        answer = talk(server, flood)
    assert b" 200 " not in answer
    assert b" 500 " not in answer
    assert server.get("/models").status_code == 200
    record("F6 floods of headers, rubbish", 1)


def test_a_prefix_header_does_not_move_the_paths(server: ApiProcess) -> None:
    for name in ("SCRIPT_NAME", "Script-Name", "X-Forwarded-Prefix"):
        assert server.get("/models", headers={name: "/api"}).status_code == 200
    record("F9 SCRIPT_NAME from a client", 3)


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


# --- Ids ------------------------------------------------------------------------------------------

ODD_IDS = [
    "..",
    "%2e%2e",
    "..%2f..%2f..%2fetc%2fpasswd",
    "....//....//etc/passwd",
    "%00",
    "a%00b",
    "a%0ab",
    "%ff%fe",
    "%EF%BF%BD",
    "\\..\\..",
    "img_0123456789abcdef0123456789abcdef_1/../../x",
    "img_0123456789ABCDEF0123456789abcdef_1",
    "img_ffffffffffffffffffffffffffffffff_8",
    "img_00000000000000000000000000000000_9",
    "x" * 2000,
    "%252e%252e%252fetc",
    "CON",
    "-rf",
    "*",
]
PATHS = ["/status/{}", "/get_image/{}", "/image/{}/metadata"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_odd_ids_are_not_found_and_touch_nothing_outside(server: ApiProcess, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    (worker,) = workers_of(server)
    watcher = subprocess.Popen(
        ["strace", "-f", "-qq", "-s", "300", "-e", "trace=%file", "-o", str(trace), "-p", str(worker)],
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: watcher.poll() is not None or _is_traced(worker), 20, "strace to attach")
        if watcher.poll() is not None:
            assert watcher.stderr is not None
            pytest.skip(f"strace may not trace here: {watcher.stderr.read().decode()}")
        answers = [(path.format(odd), server.get(path.format(odd)).status_code) for path in PATHS for odd in ODD_IDS]
        answers += [(f"DELETE {odd}", httpx.delete(f"{server.base}/api/image/{odd}").status_code) for odd in ODD_IDS]
        server.get("/status/marker-of-the-end")
        wait_until(lambda: "marker-of-the-end" in trace.read_text(errors="replace"), 20, "the trace")
    finally:
        watcher.terminate()
        watcher.wait()
        assert watcher.stderr is not None
        watcher.stderr.close()
    wrong = [f"{path}: {status}" for path, status in answers if status not in (404, 400, 405)]
    record("F10 traversal and odd bytes in ids (strace)", len(answers), wrong + _outside(trace, data_of(server)))


def _is_traced(pid: int) -> bool:
    return "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")


def _outside(trace: Path, data: Path) -> list[str]:
    """The system calls that name a path which is neither ours nor Python's nor on the way to our data."""
    allowed = (str(data), str(REPOSITORY), "/proc/", "/sys/", "/usr/", "/dev/shm", "/etc/localtime", sys.prefix)
    allowed += (str(Path(os.__file__).parent),)
    on_the_way = {str(parent) for parent in data.parents}
    found = []
    for line in trace.read_text(errors="replace").splitlines():
        paths = [path for path in line.split('"')[1::2] if path.startswith("/") and path not in on_the_way]
        if any(not path.startswith(allowed) for path in paths):
            found.append(f"outside: {line}")
        if any(".." in path.split("/") for path in paths):
            found.append(f"upwards: {line}")
    return found


# --- Who asks -------------------------------------------------------------------------------------


def test_spoofed_addresses_do_not_widen_the_limit_over_workers(tmp_path: Path) -> None:
    with api(tmp_path / "data", environment(tmp_path, rate_limit="5/hour"), workers=2) as server:
        answers = []
        for number in range(20):
            headers = {"X-Forwarded-For": f"10.0.0.{number}", "X-Real-IP": f"10.1.0.{number}"}
            headers["Forwarded"] = f"for=10.2.0.{number}"
            answers.append(server.post("/generate", json=BODY, headers=headers))
        codes = [answer.status_code for answer in answers]
        assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 429)
    wrong = [] if (codes.count(200), codes.count(429)) == (5, 15) else [f"{codes}"]
    record("F8 F13 spoofed addresses, several workers: the limit is exact", len(codes), wrong)


def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    with api(tmp_path / "data", environment(tmp_path, max_pending="3")) as server:
        answers = [server.post("/generate", json=BODY) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 503, 503]
        assert "Retry-After" in answers[-1].headers
        assert answers[-1].json()["status"] == "error"
    record("API6 the cap on pending jobs", len(answers))


# --- Killed while it accepts ----------------------------------------------------------------------


def test_killed_api_workers_lose_no_acknowledged_job(tmp_path: Path) -> None:
    accepted: list[str] = []
    stop = threading.Event()
    with api(tmp_path / "data", environment(tmp_path), workers=2) as server:

        def submit() -> None:
            while not stop.is_set():
                with suppress(httpx.TransportError):
                    answer = httpx.post(f"{server.base}/api/generate", json=BODY, timeout=30)
                    if answer.status_code == 200:
                        accepted.append(answer.json()["job_id"])

        threads = [threading.Thread(target=submit) for _ in range(3)]
        for thread in threads:
            thread.start()
        kills = 0
        while kills < 8:
            seen = len(accepted)
            wait_until(lambda seen=seen: len(accepted) > seen + 2, 60, "some jobs to be accepted")  # type: ignore[misc]
            with suppress(ProcessLookupError, IndexError):
                os.kill(workers_of(server)[0], signal.SIGKILL)
                kills += 1
        stop.set()
        for thread in threads:
            thread.join()
        server.end(timeout=90)  # gunicorn misses a worker that is just being born, and kills it after 30 s
    spool = Spool(tmp_path / "data")
    stored = set(spool.ids(State.PENDING))
    lost = [f"{job_id} was acknowledged and is lost" for job_id in accepted if job_id not in stored]
    torn = [job_id for job_id in stored if spool.find(job_id)[1].id != job_id]
    record("F1 API workers killed while they accept", len(accepted), lost + torn)


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
