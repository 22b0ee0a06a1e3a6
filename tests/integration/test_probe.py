"""The health check of containers, as its own program against the real API."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from tests.programs import REPOSITORY, api, free_port


def probe(environment: dict[str, str]) -> tuple[int, str]:
    """The exit status of the probe, and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "http_api.probe"],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_a_living_api_is_healthy_and_one_that_has_ended_is_not(tmp_path: Path) -> None:
    with api(tmp_path / "data", {"CYBERIMAGE_HOST": "127.0.0.1"}) as program:
        environment = {"PORT": program.environment["PORT"], "CYBERIMAGE_HOST": "0.0.0.0"}
        assert probe(environment) == (0, "The API answers.\n")
        program.end(signal.SIGTERM)
    status, said = probe(environment)
    assert status == 1
    assert said.startswith(f"The API does not answer at 127.0.0.1 port {environment['PORT']}: ")


def test_a_server_that_never_answers_or_refuses_is_unhealthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        environment = {"PORT": str(server.getsockname()[1]), "CYBERIMAGE_ALLOWED_HOSTS": "pictures.example,b.example"}
        where = f"127.0.0.1 port {environment['PORT']}"
        assert probe(environment) == (1, f"The API does not answer at {where}: timed out.\n")
        asked: list[bytes] = []
        threading.Thread(target=refuse, args=(server, asked), daemon=True).start()
        assert probe(environment) == (1, "The API answers /health/live with status 404, not 200.\n")
    assert b"Host: pictures.example\r\n" in asked[1]


def refuse(server: socket.socket, asked: list[bytes]) -> None:
    """Answer each connection that nothing is here; the first has been given up already."""
    for _ in range(2):
        connection, _ = server.accept()
        with connection:
            asked.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def test_a_wrong_setting_is_named() -> None:
    assert probe({"PORT": "http"}) == (1, "PORT is 'http'; it must be an integer from 1 to 65535.\n")
    assert probe({"PORT": str(free_port())})[0] == 1
