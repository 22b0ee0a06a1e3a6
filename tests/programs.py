"""Real programs for tests: gunicorn and the runner as processes, on a free port and a data directory of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tests.described import check_answer

REPOSITORY = Path(__file__).resolve().parent.parent
Value = TypeVar("Value")


#: How long to wait for what must come, in seconds. Waiting costs nothing where it comes at once, and the machine
#: may be shared with others that leave us a fiftieth of it.
PATIENCE = 180.0


def wait_until(condition: Callable[[], Value | None], timeout: float = PATIENCE, about: str = "the condition") -> Value:
    """Poll `condition` until it is true and answer its value; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"{about} did not come true within {timeout:g} s")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children_of(pid: int) -> list[int]:
    """The process ids of the children of a process."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except FileNotFoundError:
        return []


def processor_seconds(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def without_coverage() -> dict[str, str]:
    """An environment in which a child process loads only what its own code asks for."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


class Program:
    """A process of ours with its output in a file; leaving the context ends it."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.command = command
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("CYBERIMAGE_")}
        self.environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)} | environment
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process in a session of its own."""
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                self.command,
                cwd=REPOSITORY,
                env=self.environment,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id of the started process."""
        assert self.process is not None
        return self.process.pid

    def end(self, number: int = signal.SIGTERM, timeout: float = PATIENCE) -> int:
        """Send a signal and wait; returns the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"{self.command} did not end within {timeout} s\n{self.output()}") from None

    def kill_all(self) -> None:
        """SIGKILL to the process and its children."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def output(self) -> str:
        """What it has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end()
        if error is not None:
            sys.stderr.write(self.output())


@contextmanager
def api(
    data: Path,
    environment: dict[str, str] | None = None,
    workers: int = 1,
    base: str = "http://127.0.0.1",
    *,
    files: int | None = None,
    config: str = "http_api.gunicorn_conf",
) -> Iterator[ApiProcess]:
    """A gunicorn with the real app, answering at `base` and a free port; with at most `files` open files, if given."""
    port = free_port()
    settings = {"CYBERIMAGE_DATA": str(data), "PORT": str(port), "CYBERIMAGE_WEB_WORKERS": str(workers)}
    settings |= {"CYBERIMAGE_RATE_LIMIT": "off", "CYBERIMAGE_RESERVE_MB": "0"} | (environment or {})
    command = [sys.executable, "-m", "gunicorn", "-c", f"python:{config}", "http_api.app:get_app()"]
    if files is not None:
        command = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh", *command]
    data.parent.mkdir(parents=True, exist_ok=True)
    with ApiProcess(command, settings, data.parent / "api.log") as program:
        program.base = f"{base}:{port}"
        # One client: making one loads certificates. No idle connections: they would hold up the server's end.
        with httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0)) as program.client:
            program.wait_until_ready()
            yield program


class ApiProcess(Program):
    """The API and how to reach it."""

    base = ""
    client: httpx.Client

    def wait_until_ready(self) -> None:
        """Wait for the first answer."""

        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.output()
            try:
                return self.client.get(f"{self.base}/health/live").status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

        wait_until(answers, about="an answer of the API")

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request below /api, however odd."""
        return self.client.request(method, f"{self.base}/api{path}", **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET below /api; fails unless the answer is described."""
        return _described(self.ask("GET", path, **options))

    def post(self, path: str, **options: Any) -> httpx.Response:
        """POST below /api; fails unless the answer is described."""
        return _described(self.ask("POST", path, **options))

    def status(self, job_id: str) -> dict[str, Any]:
        """The answer of /status, as it is: it is asked for again and again."""
        answer: dict[str, Any] = self.client.get(f"{self.base}/api/status/{job_id}").json()
        return answer

    def wait_for(self, job_id: str, status: str, timeout: float = 240) -> dict[str, Any]:
        """Wait until a job has a status; returns its /status."""

        def reached() -> dict[str, Any] | None:
            found = self.status(job_id)
            assert status == "failed" or found.get("status") != "failed", found
            return found if found.get("status") == status else None

        return wait_until(reached, timeout, f"job {job_id} to be {status}") or {}


def _described(answer: httpx.Response) -> httpx.Response:
    request, kind = answer.request, answer.headers.get("content-type", "")
    check_answer(request.method, request.url.path, answer.status_code, kind, answer.content)
    return answer


@contextmanager
def runner(data: Path, environment: dict[str, str] | None = None) -> Iterator[Program]:
    """A real runner (supervisor and, when there is work, its worker) on the CPU."""
    settings = {"CYBERIMAGE_DATA": str(data), "CYBERIMAGE_DEVICE": "cpu", "CYBERIMAGE_RESERVE_MB": "0"}
    data.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "runner"]
    with Program(command, settings | (environment or {}), data.parent / "runner.log") as program:
        yield program
