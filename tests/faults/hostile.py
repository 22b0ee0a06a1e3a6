"""What the tests of hostile and unlucky clients share: settings of an API, raw connections, a look at its processes."""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from pathlib import Path

import httpx

from core.layout import Layout
from jobs.schema import State
from jobs.spool import Spool
from tests import tiny_models
from tests.programs import ApiProcess

#: The beginning of a request to submit.
POST = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = {"model_id": "tiny-sd", "prompt": "a castle"}


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Settings with a catalog whose models are only names."""
    for key in ("tiny-sd", "tiny-flux", "tiny-sd3"):
        (folder / "weights" / key).mkdir(parents=True, exist_ok=True)
        (folder / "weights" / key / "model_index.json").write_text("{}", encoding="utf-8")
    (folder / "models.toml").write_text(tiny_models.catalog_text(), encoding="utf-8")
    chosen = {"CYBERIMAGE_CATALOG": str(folder / "models.toml"), "CYBERIMAGE_MODELS": str(folder / "weights")}
    return chosen | {f"CYBERIMAGE_{name.upper()}": value for name, value in settings.items()}


def connect(server: ApiProcess) -> socket.socket:
    """A raw connection to the API."""
    address = httpx.URL(server.base)
    return socket.create_connection((address.host, address.port or 80), timeout=40)


def talk(server: ApiProcess, request: bytes) -> bytes:
    """Send raw bytes; returns all that comes back until the server closes or is silent for a second."""
    with closing(connect(server)) as connection:
        connection.sendall(request)
        connection.settimeout(5)
        parts = []
        with suppress(TimeoutError, ConnectionResetError):
            while part := connection.recv(65536):
                parts.append(part)
                connection.settimeout(1)
    return b"".join(parts)


def resident_kilobytes(pid: int) -> int:
    """The memory that a process uses."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def data_of(server: ApiProcess) -> Path:
    """The data directory of an API."""
    return Path(server.environment["CYBERIMAGE_DATA"])


def pending(data: Path) -> list[str]:
    """The ids of the pending jobs."""
    return list(Spool(Layout(data)).ids(State.PENDING))
