"""The servers that are measured: the real API, and the bare Falcon app in the same kind of worker."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Server:
    """A running gunicorn with one worker."""

    base: str
    pid: int
    #: From its start to its first answer, in seconds.
    start_seconds: float

    def _worker(self) -> Path:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        return Path(f"/proc/{children[0]}")

    def worker_seconds(self) -> float:
        """Processor time that its worker has used so far."""
        return processor_seconds(self._worker())

    def worker_megabytes(self) -> float:
        """Resident memory of its worker."""
        for line in (self._worker() / "status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the worker has no VmRSS")


def processor_seconds(process: Path) -> float:
    """Processor time that a process (its folder in `/proc`) has used in its living threads."""
    spent = [path.read_text(encoding="ascii").split()[0] for path in process.glob("task/*/schedstat")]
    return sum(map(int, spent)) / 1e9


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def api(data: Path) -> Iterator[Server]:
    """The real API on a data directory, without the rate limit."""
    port = free_port()
    environment = {
        "CYBERIMAGE_DATA": str(data),
        "CYBERIMAGE_CREATE_DATA": "on",
        "CYBERIMAGE_RATE_LIMIT": "off",
        "CYBERIMAGE_MAX_PENDING": "10000000",
        "CYBERIMAGE_WEB_WORKERS": "1",
        "CYBERIMAGE_LOG_LEVEL": "warning",
        "PORT": str(port),
    }
    with _gunicorn(
        ["-c", "python:http_api.gunicorn_conf", "http_api.app:get_app()"], environment, port, "/api/models"
    ) as s:
        yield s


@contextmanager
def bare(folder: Path, *, kind: tuple[str, ...]) -> Iterator[Server]:
    """The bare app; `kind` are gunicorn's arguments that choose the worker."""
    port = free_port()
    arguments = [
        "--workers",
        "1",
        "--bind",
        f"127.0.0.1:{port}",
        "--keep-alive",
        "5",
        *kind,
        "bench.bare_app:get_app()",
    ]
    with _gunicorn(arguments, {"BENCH_FOLDER": str(folder)}, port, "/constant") as server:
        yield server


#: Threads, so that syncs overlap: the best that bare Falcon does with them.
THREADS = ("--worker-class", "gthread", "--threads", "8")
#: The worker that our API uses.
OUR_WORKER = ("--worker-class", "http_api.server.worker.Worker")


@contextmanager
def _gunicorn(arguments: list[str], environment: dict[str, str], port: int, path: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "gunicorn", "--no-control-socket", *arguments]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
    try:
        _wait_for_answer(process, port, path)
        yield Server(f"http://127.0.0.1:{port}", process.pid, time.monotonic() - began)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_answer(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"a server ended with status {process.returncode}: {process.args!r}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            time.sleep(0.01)
        finally:
            connection.close()
    raise RuntimeError(f"no answer from {process.args!r}")
