"""The data directory goes away under a running API, and comes back (reliability.md B11)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.faults.hostile import BODY, environment
from tests.faults.table import record
from tests.faults.test_readers import commit
from tests.programs import ApiProcess, api, wait_until

SENTENCE = "The data directory is not there; perhaps its volume is not mounted."


def nothing_is_left(data: Path) -> None:
    """As if it had been removed."""


def an_empty_mount_point_is_left(data: Path) -> None:
    data.mkdir()


def only_the_mark_is_left(data: Path) -> None:
    """As if somebody had removed the spool by hand."""
    data.mkdir()
    (data / ".cyberimage").touch()


@pytest.mark.parametrize("leave", [nothing_is_left, an_empty_mount_point_is_left, only_the_mark_is_left])
def test_a_data_directory_that_goes_away_is_said_so_until_it_is_back(
    tmp_path: Path, leave: Callable[[Path], None]
) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    with api(data, environment(tmp_path)) as server:
        job = server.post("/generate", json=BODY).json()["job_id"]
        image = commit(server, b"x" * 1000)
        data.rename(elsewhere)
        leave(data)
        left = sorted(os.listdir(data)) if data.exists() else []
        answers = [answer for _ in range(3) for answer in ask_everything(server, job, image)]
        found = [f"{answer.url}: {answer.status_code} {answer.text}" for answer in answers if not says_so(answer)]
        ready = server.client.get(f"{server.base}/health/ready")
        assert (ready.status_code, ready.json()["message"]) == (503, SENTENCE)
        assert server.client.get(f"{server.base}/health/live").status_code == 200
        # Maintenance looks every few seconds, and must make nothing on a volume that is not mounted.
        wait_until(lambda: "could not be compared" in server.output(), about="the maintenance")
        assert (sorted(os.listdir(data)) if data.exists() else []) == left
        assert str(tmp_path) not in "".join(answer.text for answer in answers)
        for path in (data / ".cyberimage", data):
            if path.exists():
                path.rmdir() if path.is_dir() else path.unlink()
        elsewhere.rename(data)
        codes = {answer.status_code for answer in ask_everything(server, job, image)}
    record("B11 the data directory goes away", len(answers), found + ([f"then {codes}"] if codes != {200} else []))


def ask_everything(server: ApiProcess, job: str, image: str) -> list[httpx.Response]:
    """Whatever needs the data directory."""
    gets = (f"/status/{job}", f"/status/{job}?wait=1", f"/get_image/{image}", f"/image/{image}/metadata", "/queue")
    return [
        *(server.get(path) for path in (*gets, "/gallery", "/gallery?search=castle", "/jobs")),
        server.post("/generate", json=BODY),
        server.post("/generate", json=BODY, headers={"Idempotency-Key": "k"}),
        server.post("/reset_queue"),
    ]


def says_so(answer: httpx.Response) -> bool:
    return (
        answer.status_code == 503
        and answer.json()["message"] == SENTENCE
        and answer.json()["error_type"] == "storage"
        and int(answer.headers["Retry-After"]) > 0
    )
