"""Where pictures go: names, patterns, formats, and never over another file."""

from __future__ import annotations

import errno
import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from client.command_line import main
from client.exit_codes import Ended, Exit
from client.output_files import Output, Picture
from tests.unit.client.conftest import ORDERS, add_job, image_id, png
from tests.unit.client.contract_server import ContractServer

PROMPT = "a red house, by the sea"


def names() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("target", "one", "two"),
    [
        ("house.png", ["house.png"], ["house-1.png", "house-2.png"]),
        ("house-{n}.png", ["house-1.png"], ["house-1.png", "house-2.png"]),
        ("{n:03}-{seed}.webp", ["001-100.webp"], ["001-100.webp", "002-101.webp"]),
        ("{prompt}.JPG", ["a-red-house.JPG"], ["a-red-house-1.JPG", "a-red-house-2.JPG"]),
        ("new/", [f"new/{image_id(ORDERS[0], 1)}.png"], [f"new/{image_id(ORDERS[1], n)}.png" for n in (1, 2)]),
        ("set/{n}.png", ["set/1.png"], ["set/1.png", "set/2.png"]),
        ("all/{prompt}/{n}.png", ["all/a-red-house/1.png"], ["all/a-red-house/1.png", "all/a-red-house/2.png"]),
    ],
)
def test_names(studio: ContractServer, target: str, one: list[str], two: list[str]) -> None:
    assert main(["a red house", "-o", target]) == Exit.DONE
    assert names() == one
    for name in one:
        Path(name).unlink()
    add_job(studio, ORDERS[1], count=2)
    assert main(["a red house", "--images", "2", "-o", target]) == Exit.DONE
    assert names() == two


@pytest.mark.parametrize(
    ("ending", "kind"), [("png", "PNG"), ("jpg", "JPEG"), ("jpeg", "JPEG"), ("webp", "WEBP"), ("WEBP", "WEBP")]
)
def test_the_ending_decides_the_format_and_the_settings_stay(studio: ContractServer, ending: str, kind: str) -> None:
    assert main(["a red house", "-o", f"house.{ending}"]) == Exit.DONE
    with Image.open(f"house.{ending}") as picture:
        assert (picture.format, picture.size) == (kind, (16, 8))
        if kind == "PNG":
            assert picture.info["parameters"] == "a red house\nSteps: 4"
        else:
            comment = picture.getexif().get_ifd(0x8769)[0x9286]
            assert comment == b"UNICODE\0" + "a red house\nSteps: 4".encode("utf-16-be")


def test_standard_output_gets_the_picture_and_nothing_else(
    studio: ContractServer, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["a red house", "-o", "-"]) == Exit.DONE
    assert capfdbinary.readouterr().out == png()
    assert names() == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-o", "house"], "ends with no format"),
        (["-o", "house.gif"], "ends with no format"),
        (["-o", "{size}.png"], "{size}, which is not known; there are {n}, {seed}, {id}, {prompt}"),
        (["-o", "{n.png"], "cannot be read"),
        (["-o", "-", "--images", "2"], "one picture"),
        (["-o", "file/"], "is a file"),
        (["-o", "nowhere/house.png"], "does not exist"),
        (["-o", "file/{n}.png"], "is a file"),
        (["-o", "folder.png/"], None),
        (["-o", "pipe.png", "--force"], "no ordinary file"),
    ],
)
def test_what_can_be_no_name_is_said_before_a_job_is_sent(
    studio: ContractServer, words: list[str], sentence: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    os.mkfifo("pipe.png")
    assert main(["a red house", *words]) == (Exit.DONE if sentence is None else Exit.USAGE)
    if sentence is not None:
        assert sentence in capsys.readouterr().err
        assert "POST /api/generate" not in studio.seen


def test_a_picture_is_not_written_into_the_terminal(studio: ContractServer, terminal: object) -> None:
    with terminal() as screen:  # type: ignore[operator]
        assert main(["a red house", "-o", "-"]) == Exit.USAGE
    assert "into the terminal" in screen.text


def test_a_folder_that_cannot_be_written_is_said_before_a_job_is_sent(
    studio: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert main(["a red house", "-o", "house.png"]) == Exit.FILE
    assert capsys.readouterr().err == "cyberimage: .: Permission denied.\n"
    assert studio.seen == []


@pytest.mark.parametrize("target", ["a-red-house.png", "{prompt}.png", "{n}.png", "{seed}.png"])
def test_what_is_known_to_exist_is_said_before_a_job_is_sent(studio: ContractServer, target: str) -> None:
    for name in ("a-red-house.png", "1.png", "100.png"):
        Path(name).write_text("mine", encoding="utf-8")
    assert main(["a red house", "-o", target, "--seed", "100"]) == Exit.USAGE
    assert studio.seen == []
    assert main(["a red house", "-o", target, "--seed", "100", "--force"]) == Exit.DONE


def test_without_hard_links_it_is_saved_all_the_same(studio: ContractServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    for name in ("link", "symlink", "chmod", "fchmod"):
        monkeypatch.setattr(os, name, refuse)
    assert main(["a red house", "-o", "house.png"]) == Exit.DONE
    assert Path("house.png").read_bytes() == png()
    assert main(["a red house", "-o", "house.png"]) == Exit.USAGE
    assert names() == ["house.png"]


def test_of_many_writers_of_one_name_one_wins(tmp_path: Path) -> None:
    target = tmp_path / "house.png"

    def write(number: int) -> int | None:
        try:
            Output(target=str(target), force=False).save(Picture(n=1, count=1), str(number).encode())
        except Ended:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        won = [number for number in pool.map(write, range(40)) if number is not None]
    assert [str(number) for number in won] == [target.read_text("utf-8")]
    assert list(tmp_path.iterdir()) == [target]


def test_a_disk_that_fails_leaves_nothing_behind(studio: ContractServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            assert main(["a red house", "-o", "house.png"]) == Exit.FILE
            assert names() == []


def test_one_picture_that_cannot_be_saved_keeps_none_from_being_saved(
    studio: ContractServer, capsys: pytest.CaptureFixture[str]
) -> None:
    add_job(studio, ORDERS[1], count=3)
    studio.answers[f"GET /api/get_image/{image_id(ORDERS[1], 2)}"] = (404, {"message": "It is gone."})
    assert main(["a red house", "--images", "3", "-o", "{n}.png"]) == Exit.NOT_FOUND
    assert names() == ["1.png", "3.png"]
    assert "cyberimage download 1a2b3c4d_2" in capsys.readouterr().err


def test_what_is_no_picture_cannot_be_converted(studio: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    studio.answers[f"GET /api/get_image/{image_id(ORDERS[0], 1)}"] = (200, b"\x89PNG\r\n\x1a\nbroken")
    assert main(["a red house", "-o", "house.webp"]) == Exit.UNREACHABLE
    assert "cannot be read" in capsys.readouterr().err


def test_without_pillow_a_jpeg_is_refused_in_a_sentence(
    studio: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert main(["a red house", "-o", "house.jpg"]) == Exit.FILE
    assert "pip install pillow" in capsys.readouterr().err
    assert main(["a red house", "-o", "house.png"]) == Exit.DONE


@given(st.text(), st.integers(1, 10_000), st.integers(0, 2**63 - 1))
def test_a_name_from_any_prompt_stays_in_its_folder(prompt: str, n: int, seed: int) -> None:
    picture = Picture(n=n, count=1, id="img_1", seed=seed, prompt=prompt)
    path = Output(target="{prompt}-{n}-{seed}.png", force=False).path(picture)
    assert path is not None
    assert path.parent == Path()
    assert not path.name.startswith((".", "-"))
    assert path.name.isprintable()
    assert len(path.name.encode()) <= 255


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "{n} 100% {"
    folder.mkdir()
    output = Output(target=str(folder), force=False)
    output.check([])
    assert output.save(Picture(n=1, count=1, id="img_1"), b"x") == str(folder / "img_1.png")


def test_the_size_of_a_picture_is_no_matter_to_a_reader_that_leaves(
    studio: ContractServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

        def fileno(self) -> int:
            return os.open(os.devnull, os.O_WRONLY)

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(Gone())))
    assert main(["a red house", "-o", "-"]) == Exit.DONE
