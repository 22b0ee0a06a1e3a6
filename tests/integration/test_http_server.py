"""What only a real server shows: bodies, connections, several workers, signals."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import REPOSITORY
from tests.described import check_answer
from tests.indexes import data_at
from tests.programs import ApiProcess, api, free_port, wait_until
from tests.sidecars import sidecar

BODY = {"model_id": "tiny", "prompt": "a castle"}
RAW = json.dumps(BODY).encode()


@contextmanager
def connection(server: ApiProcess) -> Iterator[socket.socket]:
    """A plain connection to the server."""
    address = urlsplit(server.base)
    with socket.create_connection((address.hostname, address.port), timeout=60) as plain:
        yield plain


def exchange(server: ApiProcess, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes; returns status, headers and body of the one answer. Reads until the server closes."""
    with connection(server) as plain:
        plain.sendall(request)
        received = b""
        while data := plain.recv(65536):
            received += data
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(status.split()[1]), headers, body


def request_of(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def pending(server: ApiProcess) -> int:
    """How many jobs wait, from the files."""
    return len(list((data_of(server) / "spool" / "pending").iterdir()))


def data_of(server: ApiProcess) -> Path:
    return Path(server.environment["CYBERIMAGE_DATA"])


def assert_error(status: int, expected: int, body: bytes) -> None:
    assert status == expected, body
    assert json.loads(body)["status"] == "error"


def test_a_chunked_body_is_refused_and_the_connection_closed(server: ApiProcess) -> None:
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(RAW), RAW)
    headers = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    before = pending(server)
    status, _, body = exchange(server, request_of("POST", "/api/generate", *headers, body=chunk))
    assert_error(status, 411, body)
    assert pending(server) == before


def test_a_huge_body_is_refused_before_it_is_read(server: ApiProcess) -> None:
    headers = ("Content-Type: application/json", "Content-Length: 1073741824")
    status, answered, body = exchange(server, request_of("POST", "/api/generate", *headers, body=b"{"))
    assert_error(status, 413, body)
    assert answered["connection"] == "close"


@pytest.mark.parametrize("path", ["/api/reset_queue", "/api/models", "/api/enrich", "/api/jobs/x/cancel"])
def test_a_huge_body_is_refused_everywhere(server: ApiProcess, path: str) -> None:
    headers = ("Content-Type: application/json", "Content-Length: 1073741824")
    status, _, body = exchange(server, request_of("POST", path, *headers, body=b"{"))
    assert status in (405, 413)
    assert json.loads(body)["status"] == "error"


def test_a_body_that_ends_early_makes_no_job(server: ApiProcess) -> None:
    before = pending(server)
    headers = ("Content-Type: application/json", f"Content-Length: {len(RAW) + 9}")
    with connection(server) as plain:
        plain.sendall(request_of("POST", "/api/generate", *headers, body=RAW))
        plain.shutdown(socket.SHUT_WR)
        answer = plain.recv(65536)
    assert b" 400 " in answer
    assert pending(server) == before


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (request_of("GET", "/api/models?" + "x" * 40_000), 414),
        (request_of("GET", "/api/models", *(f"X-{number}: y" for number in range(200))), 431),
        (request_of("GET", "/api/models", "X-Long: " + "y" * 9000), 431),
        (request_of("GET", "/api/models", "Expect: more"), 417),
        (b"GET /api/models HTTP/1.1\r\n\r\n", 400),
        (request_of("GET", "/api/models", "Host: localhost"), 400),
        (b"nonsense\r\n\r\n", 400),
        (request_of("GET", "/api/models", "Broken header"), 400),
        (
            request_of("POST", "/api/generate", "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
            400,
        ),
        (request_of("POST", "/api/generate", "Content-Length: 5", "Content-Length: 6", body=b"hello"), 400),
        (request_of("POST", "/api/generate", "Content-Length: +5", body=b"hello"), 400),
        (request_of("POST", "/api/generate", "Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), 501),
    ],
)
def test_what_is_no_request_gets_the_error_form_too(server: ApiProcess, request_bytes: bytes, expected: int) -> None:
    status, headers, body = exchange(server, request_bytes)
    assert_error(status, expected, body)
    assert headers["connection"] == "close"
    assert json.loads(body)["request_id"] == headers["x-request-id"] != ""
    method, _, rest = request_bytes.decode("latin-1").partition(" ")
    if rest:
        path = rest.split()[0]
        check_answer(method, path.partition("?")[0], status, headers["content-type"], body)


def test_http_1_0_needs_no_host(server: ApiProcess) -> None:
    status, _, _ = exchange(server, b"GET /health/live HTTP/1.0\r\n\r\n")
    assert status == 200


@pytest.mark.parametrize("letter", ["\u6f22", "\U0001f600"])
def test_a_search_as_long_as_the_api_allows_is_searched(server: ApiProcess, letter: str) -> None:
    longest = {"search": letter * 1000, "model": letter * 1000}
    assert server.get("/gallery", params=longest).json()["total"] == 0
    refused = server.get("/gallery", params={"search": letter * 1001})
    assert (refused.status_code, refused.json()["field"]) == (400, "search")


def test_no_header_moves_the_request_elsewhere(server: ApiProcess) -> None:
    headers = {"SCRIPT_NAME": "/api", "PATH_INFO": "/api/gallery", "X-Forwarded-Prefix": "/x", "X-Original-URL": "/x"}
    assert server.get("/models", headers=headers).json()["default"] == "tiny"


@pytest.mark.parametrize(
    "path", ["/api/status/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/api/get_image/..%00", "/static/..%2fapp.py"]
)
def test_no_path_leads_out(server: ApiProcess, path: str) -> None:
    status, _, body = exchange(server, request_of("GET", path, "Connection: close"))
    assert_error(status, 404, body)


def test_slow_clients_do_not_starve_others(server: ApiProcess) -> None:
    address = urlsplit(server.base)
    slow = [socket.create_connection((address.hostname, address.port)) for _ in range(300)]
    try:
        for number, plain in enumerate(slow):
            headers = ("Content-Type: application/json", "Content-Length: 50")
            plain.sendall(request_of("POST", "/api/generate", *headers, body=b"{") if number % 2 else b"GET /api/mo")
        assert [server.get("/queue").status_code for _ in range(20)] == [200] * 20
    finally:
        for plain in slow:
            plain.close()
    assert server.get("/queue").status_code == 200


def test_one_key_gives_one_job_however_many_ask_at_once(server: ApiProcess) -> None:
    before = pending(server)
    headers = {"Idempotency-Key": "all-at-once"}
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: server.post("/generate", json=BODY, headers=headers), range(24)))
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert pending(server) == before + 1


def test_many_submitters_lose_nothing(server: ApiProcess) -> None:
    before = pending(server)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.post("/generate", json=BODY).json()["job_id"], range(64)))
    assert len(set(answers)) == 64
    assert pending(server) == before + 64
    assert {server.status(job_id)["status"] for job_id in answers} == {"pending"}


def test_500_streams_follow_one_job_or_everything_and_slow_nobody(server: ApiProcess) -> None:
    job_id = server.post("/generate", json=BODY).json()["job_id"]
    about_it = b'event: job\ndata: {"id":"' + job_id.encode() + b'","status":"%b"'
    address = urlsplit(server.base)
    streams = [socket.create_connection((address.hostname, address.port)) for _ in range(300)]
    pages = [socket.create_connection((address.hostname, address.port)) for _ in range(200)]
    try:
        for plain in (*streams, *pages):
            plain.settimeout(60)
            path = "/api/events" if plain in pages else f"/api/jobs/{job_id}/events"
            plain.sendall(request_of("GET", path))
        for plain in streams:
            read_until(plain, b'"status":"pending"')
        for plain in pages:
            read_until(plain, about_it % b"pending")
        seconds = []
        for _ in range(20):
            started = time.monotonic()
            assert server.get("/queue").status_code == 200
            seconds.append(time.monotonic() - started)
        assert median(seconds) < 2  # a hundredth of it on an idle machine
        assert server.post(f"/jobs/{job_id}/cancel").json()["cancelled"] is True
        for plain in streams:
            read_until(plain, b"event: end")
        for plain in pages:
            read_until(plain, about_it % b"failed")
    finally:
        for plain in (*streams, *pages):
            plain.close()


def test_an_archive_is_sent_as_it_is_read_and_broken_off_where_it_cannot_be_whole(server: ApiProcess) -> None:
    data = data_at(data_of(server))
    contents = [os.urandom(3 << 20), os.urandom(1 << 20)]
    images = [sidecar(data.spool.clock.issue(), png=content) for content in contents]
    for content, image in zip(contents, images, strict=True):
        data.store.commit(content, image)
    body = {"ids": [image.id for image in images]}
    answer = server.post("/images/download", json=body)
    assert int(answer.headers["content-length"]) == len(answer.content)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert [archive.read(name) for name in archive.namelist()] == contents
    data.store.path(images[1].id).write_bytes(bytes(1 << 20))
    with pytest.raises(httpx.TransportError):
        server.post("/images/download", json=body)
    assert server.get("/queue").status_code == 200
    for image in images:
        data.store.delete(image.id)


def read_until(plain: socket.socket, mark: bytes) -> None:
    received = b""
    while mark not in received:
        data = plain.recv(65536)
        assert data, f"closed before {mark!r}: {received!r}"
        received += data


def test_the_long_poll_answers_when_the_job_ends(server: ApiProcess) -> None:
    job_id = server.post("/generate", json=BODY).json()["job_id"]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lambda: server.get(f"/status/{job_id}?wait=60", timeout=90))
        server.post(f"/jobs/{job_id}/cancel")
        assert answer.result().json()["error_type"] == "cancelled"


def test_an_open_stream_does_not_hold_up_the_end(tmp_path: Path, catalog_file: Path) -> None:
    with api(tmp_path / "data", {"CYBERIMAGE_CATALOG": str(catalog_file)}) as server:
        job_id = server.post("/generate", json=BODY).json()["job_id"]
        with httpx.stream("GET", f"{server.base}/api/jobs/{job_id}/events", timeout=60) as stream:
            lines = stream.iter_lines()
            assert next(line for line in lines if line.startswith("event:")) == "event: status"
            ended = threading.Thread(target=lambda: list(lines))
            ended.start()
            assert server.end(signal.SIGTERM, timeout=25) == 0
            ended.join(10)
            assert not ended.is_alive()


def test_the_rate_limit_is_exact_over_workers_and_restarts(tmp_path: Path, catalog_file: Path) -> None:
    settings = {"CYBERIMAGE_CATALOG": str(catalog_file), "CYBERIMAGE_RATE_LIMIT": "10/hour"}
    data = tmp_path / "data"
    with api(data, settings, workers=4) as server, ThreadPoolExecutor(8) as pool:
        spoofed = [{"X-Forwarded-For": f"192.0.2.{number}"} for number in range(40)]
        answers = list(pool.map(lambda headers: server.post("/generate", json=BODY, headers=headers), spoofed))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(429)) == (10, 30)
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) == refused.json()["retry_after"] > 3000
    with api(data, settings) as server:
        assert server.post("/generate", json=BODY).status_code == 429


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address_may_have_brackets(tmp_path: Path, catalog_file: Path, host: str) -> None:
    settings = {"CYBERIMAGE_CATALOG": str(catalog_file), "CYBERIMAGE_HOST": host, "CYBERIMAGE_ALLOWED_HOSTS": host}
    with api(tmp_path / "data", settings, base="http://[::1]") as server:
        assert server.get("/models").json()["default"] == "tiny"


def test_expected_errors_leave_no_traceback(tmp_path: Path, catalog_file: Path) -> None:
    settings = {"CYBERIMAGE_CATALOG": str(catalog_file), "CYBERIMAGE_RATE_LIMIT": "1/hour"}
    with api(tmp_path / "data", settings) as server:
        key = {"Idempotency-Key": "k"}
        job_id = server.post("/generate", json=BODY, headers=key).json()["job_id"]
        assert server.post(f"/jobs/{job_id}/cancel").status_code == 200
        other = {**BODY, "prompt": "another"}
        image = "/image/img_" + "0" * 32 + "_1"
        for _ in range(5):
            answers = (
                server.post("/generate", json=other, headers=key),
                server.post("/generate", json=other),
                server.post("/jobs/none/cancel"),
                server.ask("DELETE", image),
                server.get(f"{image}/thumbnail"),
                server.get("/jobs?cursor=none"),
            )
            assert [answer.status_code for answer in answers] == [422, 429, 404, 404, 404, 400]
    assert "Traceback" not in server.output()


def is_longer(found: list[str], amount: int) -> bool:
    """Whether more than so many were found."""
    return len(found) > amount


def test_a_killed_worker_is_replaced_and_loses_no_answered_job(tmp_path: Path, catalog_file: Path) -> None:
    with api(tmp_path / "data", {"CYBERIMAGE_CATALOG": str(catalog_file)}, workers=2) as server:
        accepted: list[str] = []
        done = threading.Event()

        def submit() -> None:
            while not done.is_set():
                try:
                    answer = server.post("/generate", json=BODY)
                except httpx.TransportError:
                    continue
                accepted.append(answer.json()["job_id"])

        submitters = [threading.Thread(target=submit) for _ in range(3)]
        for submitter in submitters:
            submitter.start()
        for _ in range(5):
            wait_until(partial(is_longer, accepted, len(accepted) + 3), about="more jobs")
            os.kill(wait_until(lambda: children(server.pid), about="a worker")[0], signal.SIGKILL)
        done.set()
        for submitter in submitters:
            submitter.join()
        stored = {path.stem for path in (data_of(server) / "spool" / "pending").iterdir()}
        assert set(accepted) <= stored


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(word) for word in text.split()]


def test_a_missing_volume_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    result = start({"CYBERIMAGE_DATA": str(tmp_path / "data")})
    assert result.returncode == 78
    assert "CYBERIMAGE_CREATE_DATA" in result.stderr
    assert list((tmp_path / "data").iterdir()) == []


def test_a_bad_setting_is_refused_at_once(tmp_path: Path) -> None:
    result = start({"CYBERIMAGE_DATA": str(tmp_path / "data"), "CYBERIMAGE_RATE_LIMIT": "many"})
    assert result.returncode == 78
    assert "CYBERIMAGE_RATE_LIMIT is 'many'" in result.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"CYBERIMAGE_CATALOG": "/nowhere/models.toml"}, "/nowhere/models.toml"),
        ({"CYBERIMAGE_CATALOG": "README.md"}, "README.md is not valid TOML"),
        (
            {"OPENAI_ENDPOINT": "ftp://x", "OPENAI_MODEL": "m"},
            "OPENAI_ENDPOINT is 'ftp://x'; it must be an http or https URL",
        ),
        ({"OPENAI_ENDPOINT": "http://127.0.0.1:9/v1"}, "OPENAI_MODEL"),
        ({"CYBERIMAGE_API_KEYS": "README.md"}, "a line must be `name scopes sha256`"),
        ({"CYBERIMAGE_DATA": "/proc/nowhere"}, "CYBERIMAGE_DATA is '/proc/nowhere', which cannot be used"),
    ],
)
def test_a_wrong_configuration_is_told_in_one_sentence(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    result = start({"CYBERIMAGE_DATA": str(tmp_path / "data"), **settings})
    assert result.returncode == 78
    assert result.stderr.count(words) == 1
    assert "Traceback" not in result.stderr
    told = [line for line in result.stderr.splitlines() if "Starting gunicorn" not in line]  # settings come before it
    assert len(told) == 1


def test_a_catalog_that_is_wrong_at_a_reload_ends_the_server_too(tmp_path: Path, catalog_file: Path) -> None:
    catalog = tmp_path / "models.toml"
    catalog.write_bytes(catalog_file.read_bytes())
    with api(tmp_path / "data", {"CYBERIMAGE_CATALOG": str(catalog)}) as server:
        catalog.write_text("nonsense", encoding="utf-8")
        assert server.end(signal.SIGHUP) == 78
    assert "models.toml is not valid TOML" in server.output()
    assert "Traceback" not in server.output()


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = start({"CYBERIMAGE_DATA": str(tmp_path / "data"), "PORT": str(port)})
    assert result.returncode == 1
    told = [line for line in result.stderr.splitlines() if "Starting gunicorn" not in line]
    assert len(told) == 1, told
    assert f"PORT is {port}, which is already in use by another program" in told[0]
    assert "or choose another port, as PORT=" in told[0]


def start(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PORT": str(free_port()), **settings}
    command = [sys.executable, "-m", "gunicorn", "-c", "python:http_api.gunicorn_conf", "http_api.app:get_app()"]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60)


def test_the_api_loads_no_machine_learning() -> None:
    program = (
        "import sys; import http_api.app, http_api.gunicorn_conf\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'torch', 'diffusers', 'transformers', 'accelerate', 'safetensors', 'numpy', 'runner'}))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
