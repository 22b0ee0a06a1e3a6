"""Lists: one line each, cut to the terminal, whole between tabs; any encoding."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from client.command_line import main
from client.exit_codes import Exit
from client.results import GalleryImage
from client.short_ids import short
from client.tables import IMAGES, ago, lines_of
from tests.unit.client.conftest import ORDERS, Terminals, gallery_answer, image_id, jobs_answer
from tests.unit.client.contract_server import ContractServer

LONG = "a red house 🏠 with a green tree, 赤い家, by the sea at night " * 5
WIDTHS = (40, 80, 200)


def plain(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


@pytest.fixture
def full(studio: ContractServer) -> ContractServer:
    studio.answers["GET /api/jobs"] = (200, jobs_answer(*((order, LONG) for order in ORDERS)))
    studio.answers["GET /api/gallery"] = (200, gallery_answer(*((image_id(order, 1), LONG) for order in ORDERS)))
    return studio


@pytest.mark.parametrize("columns", WIDTHS)
def test_on_a_terminal_each_record_is_one_line(full: ContractServer, terminal: Terminals, columns: int) -> None:
    for command, ids in (("jobs", ORDERS), ("gallery", [image_id(order, 1) for order in ORDERS])):
        with terminal(columns) as screen:
            assert main([command]) == Exit.DONE
        head, *lines = plain(screen.text)
        assert "prompt" in head
        assert len(lines) == len(ids)
        for line, identifier in zip(lines, ids, strict=True):
            assert cell_len(line) <= columns
            assert line.startswith(f"{short(identifier)} ")
            assert line.endswith("…")
        assert ("model" in head) is (columns >= 70)


@pytest.mark.parametrize("command", ["jobs", "gallery", "gallery --all"])
def test_in_a_pipe_each_value_is_whole(full: ContractServer, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == Exit.DONE
    for line, order in zip(capsys.readouterr().out.splitlines(), ORDERS, strict=True):
        first, moment, *_, prompt = line.split("\t")
        assert first in (order, image_id(order, 1))
        assert (moment, prompt) == ("2026-11-25T10:00:00Z", LONG)


@given(st.text(max_size=60), st.text(max_size=60), st.integers(1, 120), st.sampled_from(["utf-8", "ascii", "cp1252"]))
def test_no_line_is_ever_wider_than_the_terminal(prompt: str, model: str, room: int, encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    images = [GalleryImage(id=image_id(ORDERS[0], 1), model_id=model, prompt=prompt, created_at="x")] * 2
    lines = list(lines_of(IMAGES, images, stream, room))
    assert len(lines) == 3
    for line in lines:
        assert cell_len(line) <= room
        assert line.isprintable()
        line.encode(encoding)


def test_a_list_is_shown_as_it_comes() -> None:
    endless: Iterator[GalleryImage] = (
        GalleryImage(id=f"img_{n}", model_id="m", prompt="p", created_at="x") for n in count()
    )
    assert len(list(islice(lines_of(IMAGES, endless, sys.stdout, 80), 200))) == 200


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (-5, "now"),
        (0, "now"),
        (59, "59 s ago"),
        (61, "1 min ago"),
        (7199, "1 h ago"),
        (86400 * 3, "3 d ago"),
        (86400 * 40, "2026-10-16"),
    ],
)
def test_times_as_people_say_them(past: int, words: str) -> None:
    now = datetime(2026, 11, 25, 12, tzinfo=UTC)
    then = now - timedelta(seconds=past)
    assert ago(then.isoformat().replace("+00:00", "Z"), now) == words
    assert ago(then.replace(tzinfo=None).isoformat(), now) == words
    assert ago("t") == "t"
    assert ago(None) == ""


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("words", ["gallery", "show {image}", "gallery --json", "gallery --all --json"])
def test_whatever_the_encoding_it_is_escaped(
    full: ContractServer, encoding: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = image_id(ORDERS[0], 1)
    about: dict[str, Any] = {"id": identifier, "model_id": "demo", "prompt": LONG}
    full.answers[f"GET /api/image/{identifier}/metadata"] = (200, about)
    made = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(made, encoding=encoding))
        patch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        assert main(words.format(image=identifier).split()) == Exit.DONE
        written = made.getvalue().decode(encoding)
    if "--json" in words:
        assert json.loads(written)["images"][0]["prompt"] == LONG
    else:
        assert ("\\U0001f3e0" in written) is (encoding != "utf-8")


def test_an_error_in_any_encoding_is_a_sentence(studio: ContractServer, monkeypatch: pytest.MonkeyPatch) -> None:
    studio.answers["POST /api/generate"] = (400, {"status": "error", "message": "🏠 is no house."})
    made = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", io.TextIOWrapper(made, encoding="ascii"))
        assert main(["a 🏠"]) == Exit.REJECTED
        sys.stderr.flush()
        assert made.getvalue() == b"cyberimage: \\U0001f3e0 is no house.\n"


def test_the_terminal_may_be_behind_stderr_alone(
    studio: ContractServer, terminal: Terminals, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal(40, stdout=False) as screen:
        assert main(["a red house", "-o", "house.png"]) == Exit.DONE
    assert all(
        cell_len(line) <= 40 for line in re.split(r"[\r\n]+", "\n".join(plain(screen.text))) if "\x1b" not in line
    )
    assert capsys.readouterr().out == "house.png\n"
