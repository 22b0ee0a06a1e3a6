"""Requests that no honest client sends, against a real gunicorn (reliability.md F3 to F10)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.faults.hostile import POST, connect, data_of, pending, resident_kilobytes, talk
from tests.faults.table import record
from tests.programs import REPOSITORY, ApiProcess, children_of, wait_until

# --- Bodies and headers ---------------------------------------------------------------------------


def test_a_gigabyte_is_refused_before_it_is_read(server: ApiProcess) -> None:
    before = max(map(resident_kilobytes, children_of(server.pid)))
    head = POST + b"Content-Length: 1073741824\r\n\r\n"
    with closing(connect(server)) as connection:
        connection.sendall(head)
        answer = connection.recv(65536)
        with suppress(ConnectionError):
            for _ in range(64):
                connection.sendall(b"x" * 65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()
    assert max(map(resident_kilobytes, children_of(server.pid))) - before < 5_000
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
    second = b"GET /api/models HTTP/1.1\r\nHost: [::1]\r\nX-Smuggled: yes\r\n\r\n"
    answer = talk(server, POST + headers + GOOD + second)
    assert b" 200 " not in answer, answer
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    assert len(pending(data_of(server))) == before
    record("F4 F7 chunked bodies and request smuggling", 1)


FLOODS = [
    b"GET /api/models HTTP/1.1\r\nHost: [::1]\r\n"
    + b"".join(b"X-%d: y\r\n" % number for number in range(500))
    + b"\r\n",
    b"GET /api/models HTTP/1.1\r\nHost: [::1]\r\nX-Long: " + b"y" * 20_000 + b"\r\n\r\n",
    b"GET /api/models?" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: [::1]\r\n\r\n",
    b"GET /api/models HTTP/1.1\r\nHost: [::1]\r\nX-Huge: " + b"y" * 5_000_000,
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
PATHS = [
    ("GET", "/status/{}"),
    ("GET", "/get_image/{}"),
    ("DELETE", "/image/{}"),
    ("GET", "/image/{}/metadata"),
    ("GET", "/image/{}/thumbnail"),
    ("POST", "/jobs/{}/cancel"),
    ("POST", "/jobs/{}/retry"),
    ("GET", "/jobs/{}/preview"),
    ("GET", "/jobs/{}/events"),
]
#: What the client itself makes another address of, one that there is: /api/jobs/../events is /api/events.
OTHER_ADDRESSES = {("/jobs/{}/events", "..")}


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_odd_ids_are_not_found_and_touch_nothing_outside(server: ApiProcess, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    (worker,) = children_of(server.pid)
    watcher = subprocess.Popen(
        ["strace", "-f", "-qq", "-s", "300", "-e", "trace=%file", "-o", str(trace), "-p", str(worker)],
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: watcher.poll() is not None or _is_traced(worker), about="strace to attach")
        if watcher.poll() is not None:
            assert watcher.stderr is not None
            pytest.skip(f"strace may not trace here: {watcher.stderr.read().decode()}")
        answers = [
            (f"{method} {path.format(odd)}", server.ask(method, path.format(odd)).status_code)
            for method, path in PATHS
            for odd in ODD_IDS
            if (path, odd) not in OTHER_ADDRESSES
        ]
        for odd in ODD_IDS[1:]:  # the client itself would make / of the first
            answers.append((f"/static/{odd}", server.client.get(f"{server.base}/static/{odd}").status_code))
        server.get("/status/marker-of-the-end")
        wait_until(lambda: "marker-of-the-end" in trace.read_text(errors="replace"), about="the trace")
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
    python = (sys.prefix, str(Path(os.__file__).parent))
    allowed = (str(data), str(REPOSITORY), "/proc/", "/sys/", "/usr/", "/dev/shm", "/etc/localtime", *python)
    on_the_way = {str(parent) for parent in data.parents}
    found = []
    for line in trace.read_text(errors="replace").splitlines():
        paths = [path for path in line.split('"')[1::2] if path.startswith("/") and path not in on_the_way]
        if any(not path.startswith(allowed) for path in paths):
            found.append(f"outside: {line}")
        if any(".." in path.split("/") for path in paths):
            found.append(f"upwards: {line}")
    return found
