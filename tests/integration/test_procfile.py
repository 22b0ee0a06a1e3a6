"""The Procfile: whoever starts its lines can end the programs by ending what it has started."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.programs import PATIENCE, REPOSITORY, Program, children_of, free_port, wait_until
from tests.runner_harness import is_running

LINES = dict(re.findall(r"^(\w+): (.*)$", (REPOSITORY / "Procfile").read_text(encoding="utf-8"), re.MULTILINE))
BIN = Path(sys.executable).parent


@pytest.fixture
def started(tmp_path: Path) -> Callable[[list[str]], Program]:
    """Make a program with a data directory and a port of its own, that finds python and gunicorn here."""

    def make(command: list[str]) -> Program:
        environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "CYBERIMAGE_DATA": str(tmp_path / "data"),
            "CYBERIMAGE_DEVICE": "cpu",
            "CYBERIMAGE_RESERVE_MB": "0",
            "PORT": str(free_port()),
        }
        return Program(command, environment, tmp_path / "programs.log")

    return make


def is_ready(program: Program) -> bool:
    """Whether API and runner are up."""
    try:
        return httpx.get(f"http://127.0.0.1:{program.environment['PORT']}/health/ready").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def family_of(pid: int) -> list[int]:
    """A process, its children, their children, ..."""
    return [pid, *(other for child in children_of(pid) for other in family_of(child))]


def test_the_end_of_honcho_is_the_end_of_all(started: Callable[[list[str]], Program]) -> None:
    program = started([str(BIN / "honcho"), "start", "-f", "Procfile"])
    program.environment |= {"HONCHO_PORT": program.environment["PORT"]}
    with program:
        wait_until(lambda: is_ready(program), about="both programs to be ready")
        family = family_of(program.pid)
        assert len(family) >= 5  # honcho, gunicorn and its workers, the runner
        assert not [pid for pid in family if Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip() == "sh"]
        program.end(signal.SIGTERM)
        wait_until(lambda: not any(is_running(pid) for pid in family), about="all processes to end")
    with socket.create_server(("127.0.0.1", int(program.environment["PORT"]))):
        pass


@pytest.mark.parametrize("name", sorted(LINES))
def test_a_signal_to_the_shell_of_a_line_reaches_its_program(
    name: str, started: Callable[[list[str]], Program]
) -> None:
    """foreman signals the shell alone. A shell that does more after the line does not replace itself by it."""
    with started(["sh", "-c", f"{LINES[name]}\ntrue"]) as program:
        wait_until(lambda: "has started" in program.output() or "Listening at" in program.output(), about="the start")
        family = family_of(program.pid)
        assert program.end(signal.SIGTERM, PATIENCE) == 0
        wait_until(lambda: not any(is_running(pid) for pid in family), about="all processes to end")
