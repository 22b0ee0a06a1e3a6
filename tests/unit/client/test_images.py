"""Images by id and by search: list, save, delete."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from client.command_line import main
from client.exit_codes import Exit
from client.short_ids import short
from tests.unit.client.conftest import ORDERS, Terminals, gallery_answer, image_id, job_answer, png
from tests.unit.client.contract_server import ContractServer

IMAGES = [image_id(order, 1) for order in ORDERS[1:5]]


@pytest.fixture
def full(studio: ContractServer) -> ContractServer:
    """A gallery of four images, three of which are houses."""
    studio.answers["GET /api/gallery"] = (200, gallery_answer(*((name, "a red house") for name in IMAGES)))
    houses = gallery_answer(*((name, "a red house") for name in IMAGES[:3]))
    studio.answers["GET /api/gallery?page=1&limit=50&search=house"] = (200, houses)
    studio.answers["GET /api/gallery?page=1&limit=50&search=nothing"] = (200, gallery_answer())
    for name in IMAGES:
        studio.answers[f"GET /api/get_image/{name}"] = (200, png())
        studio.answers[f"DELETE /api/image/{name}"] = (200, {"status": "success"})
        about = {"id": name, "model_id": "demo", "prompt": "a red house", "seed": 7}
        studio.answers[f"GET /api/image/{name}/metadata"] = (200, about)
    studio.answers[f"GET /api/status/{ORDERS[4]}"] = (200, job_answer(ORDERS[4]))
    return studio


def deleted(server: ContractServer) -> list[str]:
    return [seen.rpartition("/")[2] for seen in server.seen if seen.startswith("DELETE")]


def test_download_by_search(full: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "--search", "house", "-o", "houses/"]) == Exit.DONE
    assert {path.name for path in Path("houses").iterdir()} == {f"{name}.png" for name in IMAGES[:3]}
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["download", "--search", "house", "--limit", "1", "-o", "{n}-{seed}-{prompt}.webp"]) == Exit.DONE
    assert Path("1-7-a-red-house.webp").exists()


def test_download_of_several_ids_each_image_once(full: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", short(IMAGES[0]), IMAGES[0], ORDERS[4], "-o", "{n}.png", "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == {"files": ["1.png", "2.png"]}


def test_download_is_refused_before_the_first_where_a_name_is_taken(full: ContractServer) -> None:
    Path("2.png").touch()
    assert main(["download", "--search", "house", "-o", "{n}.png"]) == Exit.USAGE
    assert not any("get_image" in seen for seen in full.seen)


@pytest.mark.parametrize("command", ["download", "delete"])
def test_a_search_that_finds_nothing(full: ContractServer, command: str) -> None:
    assert main([command, "--search", "nothing"]) == Exit.NOT_FOUND


def test_an_interrupted_download_names_what_it_has(
    full: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from client.delivery import Delivery

    take = Delivery.take_image

    def take_one(delivery: Delivery, name: str, **about: object) -> None:
        if name == IMAGES[1]:
            raise KeyboardInterrupt
        take(delivery, name, **about)  # type: ignore[arg-type]

    monkeypatch.setattr(Delivery, "take_image", take_one)
    assert main(["download", "--search", "house", "-o", "{n}.png"]) == Exit.INTERRUPTED
    seen = capsys.readouterr()
    assert seen.out == "1.png\n"
    assert "1 of 3 pictures are saved" in seen.err


def test_several_are_deleted_only_after_a_yes(full: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["delete", "--search", "house"]) == Exit.USAGE
    assert "Delete 3 images for good" in capsys.readouterr().err
    assert deleted(full) == []
    assert main(["delete", "--search", "house", "--yes", "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == {"results": [{"deleted": name} for name in IMAGES[:3]]}
    assert deleted(full) == IMAGES[:3]


@pytest.mark.parametrize(("typed", "code"), [("y\n", Exit.DONE), ("n\n", Exit.USAGE), ("", Exit.USAGE)])
def test_on_a_terminal_it_is_asked(
    full: ContractServer, terminal: Terminals, typed: str, code: Exit, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Keyboard(typed))
    with terminal() as screen:
        assert main(["delete", "--search", "house"]) == code
    assert "[y/N]" in screen.text
    assert deleted(full) == (IMAGES[:3] if code is Exit.DONE else [])


def test_one_is_deleted_at_once_and_a_job_means_its_images(
    full: ContractServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["delete", IMAGES[0]]) == Exit.DONE
    assert main(["delete", ORDERS[4]]) == Exit.DONE
    assert deleted(full) == [IMAGES[0], IMAGES[3]]
    assert capsys.readouterr().out == f"{IMAGES[0]} is deleted\n{IMAGES[3]} is deleted\n"


def marked(name: str, **fields: object) -> dict[str, object]:
    about = {"id": name, "model_id": "demo", "prompt": "a red house", "created_at": "2026-11-25T10:00:00Z"}
    return about | fields


def test_favourites(full: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    for name in IMAGES:
        full.answers[f"PUT /api/image/{name}/favourite"] = (200, marked(name, favourite=True))
        full.answers[f"DELETE /api/image/{name}/favourite"] = (200, marked(name))
    assert main(["favourite", IMAGES[0], ORDERS[4]]) == Exit.DONE
    assert main(["favourite", IMAGES[1], "--remove"]) == Exit.DONE
    changed = [seen for seen in full.seen if seen.endswith("favourite")]
    assert changed == [
        f"{verb} /api/image/{IMAGES[n]}/favourite" for verb, n in (("PUT", 0), ("PUT", 3), ("DELETE", 1))
    ]
    assert capsys.readouterr().out.splitlines()[-1] == f"{IMAGES[1]} is no favourite any more"


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (["--add", "sea", "--add", "red"], ["red", "old", "sea"]),
        (["--remove", "old"], ["red"]),
        (["--clear"], []),
        (["--clear", "--add", "sea"], ["sea"]),
    ],
)
def test_labels(
    full: ContractServer, options: list[str], labels: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = IMAGES[0]
    full.answers[f"GET /api/image/{name}/metadata"] = (200, marked(name, labels=["red", "old"]))
    full.answers[f"PUT /api/image/{name}/labels"] = (200, marked(name, labels=labels))
    assert main(["label", short(name), *options]) == Exit.DONE
    assert json.loads(full.bodies[-1]) == {"labels": labels}
    assert capsys.readouterr().out == f"{name}  {', '.join(labels)}".rstrip() + "\n"


def test_filters(full: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["gallery"], ["gallery", "--all"], ["download", "-o", "all/"], ["delete", "--yes"]):
        assert main([*words, "--label", "sea", "--favourite"]) == Exit.DONE
    asked = [seen.partition("?")[2] for seen in full.seen if seen.startswith("GET /api/gallery")]
    assert all("label=sea" in query and "favourite=true" in query for query in asked)
    assert len(asked) == 4
    with pytest.raises(SystemExit):
        main(["label", IMAGES[0]])
