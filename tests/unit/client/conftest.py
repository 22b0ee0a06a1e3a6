"""A played server that has drawn what it is asked for, and terminals to look at."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from tests.unit.client.contract_server import ContractServer, contract_server

ORDERS = [f"0199c3f2-5a1{n}-7abc-8def-0000{n}a2b3c4d" for n in range(10)]


def png(parameters: str = "a red house\nSteps: 4") -> bytes:
    """A small real picture with its line of settings."""
    made, about = io.BytesIO(), PngImagePlugin.PngInfo()
    about.add_itxt("parameters", parameters)
    Image.new("RGB", (16, 8), "red").save(made, "PNG", pnginfo=about)
    return made.getvalue()


def image_id(job_id: str, number: int) -> str:
    """The id of an image of a job, as the server makes it."""
    return f"img_{job_id.replace('-', '')}_{number}"


def job_answer(
    job_id: str, status: str = "completed", *, images: int = 1, count: int = 1, **fields: Any
) -> dict[str, Any]:
    """The status of a job with so many of `count` images finished."""
    listed = [
        {
            "id": image_id(job_id, number),
            "created_at": "2026-11-25T10:00:00Z",
            "metadata": {"seed": 100 + number - 1, "image_number": number, "prompt": "a red house"},
        }
        for number in range(1, images + 1)
    ]
    flag = {"pending": "preparing", "processing": "generating"}.get(status, status)
    progress = {flag: True, "step": 2, "total_steps": 4, "image_number": min(images + 1, count), "total_images": count}
    about = {"id": job_id, "status": status, "model_id": "demo", "prompt": "a red house", "settings": {}}
    return about | {"effective_settings": {"seed": 100}, "images": listed, "progress": progress} | fields


def gallery_answer(*images: tuple[str, str]) -> dict[str, Any]:
    """A page of the gallery with these ids and prompts."""
    listed = [
        {"id": name, "model_id": "demo", "prompt": prompt, "created_at": "2026-11-25T10:00:00Z", "seed": 7}
        for name, prompt in images
    ]
    return {"images": listed, "page": 1, "limit": 50, "has_more": False, "total": len(listed)}


def jobs_answer(*jobs: tuple[str, str]) -> dict[str, Any]:
    """A page of the jobs with these ids and prompts."""
    about = {"status": "completed", "model_id": "demo", "created_at": "2026-11-25T10:00:00Z"}
    return {"jobs": [about | {"id": name, "prompt": prompt} for name, prompt in jobs], "next_cursor": None}


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ContractServer]:
    """A server with one finished job of one image; the working folder is empty, and `@last` is kept in a home."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with contract_server() as played:
        monkeypatch.setenv("CYBERIMAGE_URL", played.url)
        played.answers = {
            "GET /api/models": (200, {"models": {"demo": {"id": "x"}}, "default": "demo"}),
            "GET /api/queue": (200, {"pending": 0}),
        }
        add_job(played, ORDERS[0])
        yield played


def add_job(server: ContractServer, job_id: str, count: int = 1, **fields: Any) -> None:
    """Let the next submission become this job, which has ended with its images."""
    accepted = {"job_id": job_id, "status": "pending", "num_images": count}
    server.answers["POST /api/generate"] = (200, accepted)
    server.answers[f"GET /api/status/{job_id}"] = (200, job_answer(job_id, images=count, count=count, **fields))
    for number in range(1, count + 1):
        server.answers[f"GET /api/get_image/{image_id(job_id, number)}"] = (200, png())


class Screen:
    """What a program has written to a terminal."""

    def __init__(self) -> None:
        self.content = b""

    @property
    def text(self) -> str:
        """All of it."""
        return self.content.decode(errors="replace").replace("\r\n", "\n")


Terminals = Callable[..., Any]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminals:
    """`with terminal(columns) as screen`: stdout and stderr are a terminal of that width."""

    @contextmanager
    def opened(columns: int = 80, encoding: str = "utf-8", stdout: bool = True) -> Iterator[Screen]:
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        screen = Screen()
        reader = threading.Thread(target=_read, args=(master, screen))
        reader.start()
        with monkeypatch.context() as patch, open(slave, "w", encoding=encoding) as stream:
            patch.setenv("TERM", "xterm")
            for name in ("COLUMNS", "LINES", "NO_COLOR"):
                patch.delenv(name, raising=False)
            patch.setattr(sys, "stderr", stream)
            if stdout:
                patch.setattr(sys, "stdout", stream)
            yield screen
        reader.join()
        os.close(master)

    return opened


def _read(master: int, screen: Screen) -> None:
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # the end, as Linux says it of a terminal
            return
        screen.content += data
