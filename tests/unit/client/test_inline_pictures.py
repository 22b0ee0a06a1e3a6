"""Pictures in the terminal: which terminals get them, in which form, and in which place."""

from __future__ import annotations

import base64
import fcntl
import io
import os
import re
import struct
import sys
import termios
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from client import job_wait
from client.command_line import main
from client.exit_codes import Ended, Exit
from client.inline_pictures import cell_size, drawn, protocol
from tests.unit.client.conftest import ORDERS, Terminals, add_job, job_answer, png
from tests.unit.client.contract_server import ContractServer


def webp(width: int = 64, height: int = 32, colour: str = "green") -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(made, "WEBP", lossless=True)
    return made.getvalue()


@pytest.mark.parametrize(
    ("environment", "how"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-256color"}, None),
        ({}, None),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "iTerm.app"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, None),
        ({"TERM": "xterm", "CYBERIMAGE_PREVIEW": "sixel"}, "sixel"),
        ({"TERM": "xterm-kitty", "CYBERIMAGE_PREVIEW": "off"}, None),
    ],
)
def test_which_terminals_show_pictures(environment: dict[str, str], how: str | None) -> None:
    assert protocol(environment) == how


def kitty_picture(text: str) -> tuple[Image.Image, dict[str, str]]:
    """The picture as kitty's protocol says it is to be read."""
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in parts) == text
    assert all(len(data) <= 4096 for _, data in parts)
    keys = [dict(pair.split("=") for pair in part.split(",")) for part, _ in parts]
    assert [one["m"] for one in keys] == ["1"] * (len(keys) - 1) + ["0"]
    return Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in parts)))), keys[0]


def sixel_picture(text: str) -> list[list[int]]:
    """The colours of a sixel picture, line by line, as DEC's manual says it is to be read."""
    head = re.match(r'\x1bP0;1;0q"1;1;(\d+);(\d+)', text)
    assert head
    width, height = int(head[1]), int(head[2])
    pixels = [[-1] * width for _ in range(height + 6)]
    x = y = colour = 0
    for token in re.findall(r"#\d+(?:;2;\d+;\d+;\d+)?|!\d+.|[?-~]|[$-]", text[head.end() : -2]):
        if token.startswith("#"):
            colour = int(token[1:].split(";")[0])
        elif token == "$":
            x = 0
        elif token == "-":
            x, y = 0, y + 6
        else:
            count = int(token[1:-1]) if token.startswith("!") else 1
            for bit in range(6):
                if (ord(token[-1]) - 63) >> bit & 1:
                    pixels[y + bit][x : x + count] = [colour] * count
            x += count
    return pixels[:height]


def test_kitty_gets_a_png_in_chunks() -> None:
    noisy = io.BytesIO()
    Image.frombytes("RGB", (128, 128), os.urandom(128 * 128 * 3)).save(noisy, "PNG")
    text = drawn(noisy.getvalue(), "kitty", rows=13, columns=80, cell=(10, 20))
    assert text is not None
    picture, keys = kitty_picture(text)
    assert picture.size == (128, 128)
    assert (keys["a"], keys["f"], keys["r"], keys["c"], keys["C"], keys["q"]) == ("T", "100", "13", "26", "1", "2")


def test_iterm2_gets_a_png_with_its_size() -> None:
    text = drawn(webp(400, 100), "iterm2", rows=13, columns=40, cell=(10, 20))
    assert text is not None
    head, data = text.removeprefix("\x1b]1337;File=").removesuffix("\x07").split(":")
    content = base64.b64decode(data)
    assert f"size={len(content)};width=40;height=5;" in head
    assert Image.open(io.BytesIO(content)).size == (400, 100)


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 40), st.binary(min_size=48, max_size=48))
def test_sixel_draws_every_pixel_in_its_colour(width: int, height: int, pattern: bytes) -> None:
    picture = Image.frombytes("RGB", (width, height), (pattern * 101)[: width * height * 3])
    content = io.BytesIO()
    picture.save(content, "PNG")
    text = drawn(content.getvalue(), "sixel", rows=height, columns=width, cell=(1, 1))
    assert text is not None
    quantized = picture.quantize(64)
    expected = [list(quantized.tobytes()[y * width : (y + 1) * width]) for y in range(height)]
    assert sixel_picture(text) == expected


@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(2, 30), st.integers(5, 200))
@settings(max_examples=25)
def test_a_picture_never_leaves_its_room(width: int, height: int, rows: int, columns: int) -> None:
    text = drawn(webp(width, height), "kitty", rows, columns, (10, 20))
    assert text is not None
    keys = kitty_picture(text)[1]
    assert 1 <= int(keys["r"]) <= rows
    assert 1 <= int(keys["c"]) <= columns


def test_what_is_no_picture_is_none() -> None:
    with pytest.raises(Ended):
        drawn(b"<html>", "kitty", 10, 40, (10, 20))


def test_without_pillow_there_are_no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    content = webp()
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert drawn(content, "kitty", 10, 40, (10, 20)) is None


def test_the_size_of_a_cell() -> None:
    master, slave = os.openpty()
    with open(slave, "w", encoding="utf-8") as stream:
        assert cell_size(stream) == (10, 20)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 1280, 768))
        assert cell_size(stream) == (16, 32)
    os.close(master)
    with open(os.devnull, "w", encoding="utf-8") as stream:
        assert cell_size(stream) == (10, 20)


def test_the_preview_grows_above_the_bar(
    studio: ContractServer, terminal: Terminals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_wait, "POLL", 0.001)
    add_job(studio, ORDERS[1])
    looks = [
        job_answer(ORDERS[1], "processing", images=0, preview_url=f"/api/jobs/{ORDERS[1]}/preview?version={version}")
        for version in ("a", "a", "b", "gone")
    ]
    answers = iter([*looks, job_answer(ORDERS[1])])
    previews = iter([(200, webp(colour="green")), (200, webp(colour="blue")), (404, {"message": "none"})])
    studio.answers[f"GET /api/status/{ORDERS[1]}"] = lambda body: (200, next(answers))
    studio.answers[f"GET /api/jobs/{ORDERS[1]}/preview"] = lambda body: next(previews)
    monkeypatch.setenv("CYBERIMAGE_PREVIEW", "kitty")
    with terminal() as screen:
        assert main(["a red house", "-o", "house.png"]) == Exit.DONE
    found = re.findall(r"\x1b7\r\x1b\[14A((?:\x1b_G[^\x1b]*\x1b\\)+)\x1b8", screen.text)
    colours = [kitty_picture(text)[0].convert("RGB").getpixel((0, 0)) for text in found]
    assert colours == [(0, 128, 0), (0, 0, 255), (255, 0, 0)]
    assert Path("house.png").read_bytes() == png()


@pytest.mark.parametrize("words", [["--no-preview"], ["--json"]])
def test_no_preview_where_none_is_wanted(
    studio: ContractServer, terminal: Terminals, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYBERIMAGE_PREVIEW", "kitty")
    with terminal() as screen:
        assert main(["a red house", *words]) == Exit.DONE
    assert "\x1b_G" not in screen.text
