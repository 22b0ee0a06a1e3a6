"""The command line against a server that knows the contract alone: output, files and exit codes."""

from __future__ import annotations

import io
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.command_line import Exit, main
from tests.programs import REPOSITORY, free_port
from tests.unit.client.contract_server import PNG, ContractServer, contract_server

ACCEPTED = (200, {"job_id": "j", "status": "pending", "num_images": 1, "message": "fine"})
IMAGE = {"id": "img_1", "file_path": "x.png", "created_at": "t", "metadata": {}}
JOB = {"id": "j", "status": "completed", "model_id": "demo", "prompt": "a house", "images": [IMAGE]}
GENERATE = ["generate", "a house", "-m", "demo"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ContractServer]:
    """A server that has drawn what it is asked for; the working folder is empty."""
    monkeypatch.chdir(tmp_path)
    with contract_server() as played:
        monkeypatch.setenv("CYBERIMAGE_URL", played.url)
        played.answers = {
            "POST /api/generate": ACCEPTED,
            "GET /api/status/j": (200, JOB),
            "GET /api/get_image/img_1": (200, PNG),
            "GET /api/get_image/img_2": (200, PNG),
        }
        yield played


def error(status: int) -> tuple[int, dict[str, str]]:
    return status, {"status": "error", "message": "It is so."}


def test_a_picture_lands_where_it_should(
    server: ContractServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*GENERATE, "-o", "house.png"]) == Exit.DONE
    assert (tmp_path / "house.png").read_bytes() == PNG
    assert [path.name for path in tmp_path.iterdir()] == ["house.png"]
    assert capsys.readouterr().out == "house.png\n"


def test_several_pictures_get_numbers(server: ContractServer, tmp_path: Path) -> None:
    server.answers["GET /api/status/j"] = (200, JOB | {"images": [IMAGE, IMAGE | {"id": "img_2"}]})
    assert main([*GENERATE, "--images", "2", "-o", "house.png"]) == Exit.DONE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["house-1.png", "house-2.png"]


@pytest.mark.parametrize("where", [[], ["-o", "."]])
def test_without_a_name_the_image_id_is_the_name(server: ContractServer, tmp_path: Path, where: list[str]) -> None:
    assert main([*GENERATE, *where]) == Exit.DONE
    assert (tmp_path / "img_1.png").read_bytes() == PNG


@pytest.mark.parametrize(
    ("name", "options"), [("house.png", []), ("house-2.png", ["--images", "2"])], ids=["one", "numbered"]
)
def test_a_file_that_exists_is_found_before_a_job_is_sent(
    server: ContractServer, tmp_path: Path, name: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("mine", encoding="utf-8")
    assert main([*GENERATE, "-o", "house.png", *options]) == Exit.USAGE
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine"
    assert server.seen == []
    assert "--force" in capsys.readouterr().err
    if not options:
        assert main([*GENERATE, "-o", "house.png", "--force"]) == Exit.DONE
        assert (tmp_path / name).read_bytes() == PNG


def test_a_file_that_appears_meanwhile_is_not_replaced(server: ContractServer, tmp_path: Path) -> None:
    def appear(body: bytes) -> tuple[int, bytes]:
        (tmp_path / "house.png").write_text("mine", encoding="utf-8")
        return 200, PNG

    server.answers["GET /api/get_image/img_1"] = appear
    assert main([*GENERATE, "-o", "house.png"]) == Exit.USAGE
    assert (tmp_path / "house.png").read_text(encoding="utf-8") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["house.png"]


def test_a_folder_that_is_missing_is_said_before_a_job_is_sent(server: ContractServer) -> None:
    assert main([*GENERATE, "-o", "nowhere/house.png"]) == Exit.USAGE
    assert server.seen == []


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 4), (409, 4), (404, 3), (429, 6), (500, 6), (503, 6)],
)
def test_exit_codes_of_the_servers_errors(
    server: ContractServer, status: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST /api/jobs/j/cancel"] = error(status)
    assert main(["cancel", "j"]) == code
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", "cyberimage: It is so.\n")
    assert main(["cancel", "j", "--json"]) == code
    assert json.loads(capsys.readouterr().out) == {"status": "error", "message": "It is so.", "exit_code": code}


def test_a_failed_job(server: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers["GET /api/status/j"] = (200, JOB | {"status": "failed", "error_message": "Out of memory"})
    assert main(GENERATE) == Exit.JOB_FAILED
    assert "Out of memory" in capsys.readouterr().err


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "--url", f"http://127.0.0.1:{free_port()}"]) == Exit.UNREACHABLE
    assert "cannot be reached" in capsys.readouterr().err


def test_an_address_that_is_none() -> None:
    assert main(["queue", "--url", "server:5050"]) == Exit.USAGE


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["galery"],
        ["--json", "queue"],
        [*GENERATE, "--same-seed"],
        [*GENERATE, "--size", "big"],
        [*GENERATE, "--size", "8x8", "--width", "8"],
        [*GENERATE, "--images", "0"],
    ],
)
def test_wrong_use(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == Exit.USAGE


def test_the_options_reach_the_server(server: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    bodies: list[Any] = []

    def take(body: bytes) -> tuple[int, object]:
        bodies.append(json.loads(body))
        return ACCEPTED

    server.answers["POST /api/generate"] = take
    enriched = {"original_prompt": "a house", "enriched_prompt": "a house at dawn", "style": "anime"}
    server.answers["POST /api/enrich"] = (200, enriched)
    options = "--negative rain --steps 5 --guidance 2.5 --size 64x32 --images 2 --seed 9 --enrich anime --no-wait"
    assert main([*GENERATE, *options.split()]) == Exit.DONE
    settings = {"num_images": 2, "num_inference_steps": 5, "guidance_scale": 2.5, "width": 64, "height": 32, "seed": 9}
    assert bodies == [
        {"model_id": "demo", "prompt": "a house at dawn", "negative_prompt": "rain", "settings": settings}
    ]
    seen = capsys.readouterr()
    assert seen.out == "j\n"
    assert "a house at dawn" in seen.err


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_a_file_is_submitted_byte_for_byte(
    server: ContractServer, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b'{"model_id":   "demo", "prompt": "a house"}\n'
    bodies: list[bytes] = []
    server.answers["POST /api/generate"] = lambda body: (bodies.append(body), ACCEPTED)[1]
    (tmp_path / "job.json").write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert main(["submit", "job.json" if source == "file" else "-"]) == Exit.DONE
    assert bodies == [content]


def test_a_file_that_cannot_be_read(server: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "missing.json"]) == Exit.FILE
    assert capsys.readouterr().err == "cyberimage: missing.json: No such file or directory.\n"


def test_a_prompt_cannot_steer_the_terminal(server: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    image = {"id": "img_1", "model_id": "m", "prompt": "a\x1b[2Jb\nc\td", "created_at": "t"}
    page = {"images": [image], "page": 1, "limit": 20, "has_more": False, "total": 1}
    server.answers["GET /api/gallery?page=1&limit=20"] = (200, page)
    assert main(["gallery"]) == Exit.DONE
    assert capsys.readouterr().out == "img_1\tt\tm\ta [2Jb c d\n"


def test_download_of_an_image_and_of_a_job(server: ContractServer, tmp_path: Path) -> None:
    assert main(["download", "img_1", "-o", "one.png"]) == Exit.DONE
    assert main(["download", "j", "-o", "two.png"]) == Exit.DONE
    assert {path.name for path in tmp_path.iterdir()} == {"one.png", "two.png"}
    server.answers["GET /api/status/j"] = (200, JOB | {"status": "pending", "images": []})
    assert main(["download", "j", "-o", "three.png"]) == Exit.NOT_FOUND


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out == f"cyberimage {project['version']}\n"


# --- Pictures that are sent -----------------------------------------------------------------------


def test_pictures_are_uploaded_and_named_by_their_ids(server: ContractServer, tmp_path: Path) -> None:
    sent: list[Any] = []
    uploads = iter(["in_a", "in_b"])

    def take(body: bytes) -> tuple[int, dict[str, Any]]:
        sent.append(body)
        return 200, {"id": next(uploads), "sha256": "x", "width": 8, "height": 8}

    def accept(body: bytes) -> tuple[int, Any]:
        sent.append(json.loads(body))
        return ACCEPTED

    server.answers |= {"POST /api/inputs": take, "POST /api/generate": accept}
    (tmp_path / "cat.png").write_bytes(b"cat")
    (tmp_path / "m.png").write_bytes(b"mask")
    options = ["--image", "cat.png", "--mask", "m.png", "--strength", "0.4", "--scheduler", "heun"]
    assert main([*GENERATE, *options, "--outpaint", "8,0,0,16"]) == Exit.DONE
    assert sent[:2] == [b"cat", b"mask"]
    assert (sent[2]["image"], sent[2]["mask"]) == ("in_a", "in_b")
    margins = {"left": 8, "top": 0, "right": 0, "bottom": 16}
    assert sent[2]["settings"] == {"strength": 0.4, "scheduler": "heun", "outpaint": margins}
    assert main([*GENERATE, "--image", "img_7", "--force"]) == Exit.DONE
    assert sent[3]["image"] == "img_7"


def test_a_picture_that_cannot_be_read_sends_nothing(server: ContractServer) -> None:
    assert main([*GENERATE, "--image", "gone.png"]) == Exit.FILE
    assert "POST /api/generate" not in server.seen
