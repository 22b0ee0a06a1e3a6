"""`watch`: a view on a terminal, a line for each change elsewhere, and it outlives a restart of the server."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from rich.cells import cell_len

from client.command_line import main
from client.exit_codes import Exit
from client.short_ids import short
from tests.unit.client.conftest import ORDERS, Terminals, job_answer
from tests.unit.client.contract_server import ContractServer

LONG = "a red house by the sea " * 20


class Queue:
    """A played queue that goes on with each look: waiting, running, completed."""

    def __init__(self, server: ContractServer, *, away_after: int | None = None) -> None:
        self.looks = 0
        self.server = server
        self.away_after = away_after
        server.answers["GET /api/queue"] = self.count
        server.answers["GET /api/jobs?status=processing&limit=100"] = lambda body: self.listed("processing")
        server.answers["GET /api/jobs?status=pending&limit=100"] = lambda body: self.listed("pending")
        for order in ORDERS[:2]:
            server.answers[f"GET /api/status/{order}"] = lambda body, order=order: (200, self.job(order))

    def state(self, order: str) -> str:
        place = self.looks - ORDERS.index(order)
        return "pending" if place < 2 else "processing" if place < 3 else "completed"

    def job(self, order: str) -> dict[str, Any]:
        return job_answer(order, self.state(order), images=0, count=2, eta_seconds=75, prompt=LONG)

    def count(self, body: bytes) -> tuple[int, object]:
        self.looks += 1
        if self.looks == self.away_after:
            return 503, {"message": "It restarts."}
        states = [self.state(order) for order in ORDERS[:2]]
        return 200, {"pending": states.count("pending"), "processing": states.count("processing")}

    def listed(self, status: str) -> tuple[int, object]:
        jobs = [self.job(order) for order in reversed(ORDERS[:2]) if self.state(order) == status]
        return 200, {"jobs": jobs, "next_cursor": None}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.transport._PAUSES", ())
    monkeypatch.setattr("client.commands.watching.time.sleep", lambda seconds: None)


def test_in_a_pipe_each_change_is_a_line(studio: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    Queue(studio)
    assert main(["watch", "--until-empty"]) == Exit.DONE
    seen = [line.split("\t")[1:3] for line in capsys.readouterr().out.splitlines()]
    first, second = ORDERS[:2]
    assert seen == [
        [first, "pending"],
        [second, "pending"],
        [first, "processing"],
        [first, "completed"],
        [second, "processing"],
        [second, "completed"],
    ]


def test_in_json_each_change_is_a_document(studio: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    Queue(studio)
    assert main(["watch", "--until-empty", "--json"]) == Exit.DONE
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document["status"] for document in documents].count("completed") == 2
    assert documents[0]["job"]["id"] == ORDERS[0]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_shows_the_queue(studio: ContractServer, terminal: Terminals, columns: int) -> None:
    Queue(studio)
    with terminal(columns) as screen:
        assert main(["watch", "--until-empty"]) == Exit.DONE
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.text)
    assert "1 running, 1 waiting" in shown
    assert "0 running, 0 waiting" in shown
    assert "image 1 of 2" in shown
    assert ("2/4" in shown) is (columns >= 50)
    for line in re.split(r"[\r\n]+", shown):
        assert cell_len(line) <= columns


@pytest.mark.parametrize("view", ["pipe", "terminal"])
def test_a_restart_of_the_server_is_waited_for(
    studio: ContractServer, terminal: Terminals, view: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Queue(studio, away_after=2)
    if view == "terminal":
        with terminal() as screen:
            assert main(["watch", "--until-empty"]) == Exit.DONE
        said = screen.text
    else:
        assert main(["watch", "--until-empty"]) == Exit.DONE
        said = capsys.readouterr().err
    assert "It restarts. Trying again." in said


def test_a_server_that_was_never_there_is_not_waited_for(studio: ContractServer) -> None:
    Queue(studio, away_after=1)
    assert main(["watch"]) == Exit.UNAVAILABLE


def test_ctrl_c_is_the_way_to_end_it(studio: ContractServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(seconds: float) -> None:
        raise KeyboardInterrupt

    Queue(studio)
    monkeypatch.setattr("client.commands.watching.time.sleep", press)
    assert main(["watch"]) == Exit.DONE


def event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def told(*, running: str = "", waiting: list[str], **counts: object) -> bytes:
    """The present state, as the server tells it at the beginning of a stream."""
    order = [*([running] if running else []), *waiting]
    jobs = [job_answer(name, "processing" if name == running else "pending", images=0, count=2) for name in order]
    numbers = {"pending": len(waiting), "processing": len(order) - len(waiting)} | counts
    events = [
        event("queue", numbers),
        event("runner", {"state": "idle"}),
        b": alive\n\n",
        event("jobs", {"order": order}),
    ]
    return b"".join([*events, *(event("job", job) for job in jobs)])


FIRST, SECOND, THIRD = ORDERS[:3]


def streams(studio: ContractServer, *contents: object) -> None:
    """Each connection gets the next of these; completed is what jobs are that are not told any more."""
    left = iter(contents)

    def answer(body: bytes) -> object:
        content = next(left)
        return (200, content) if isinstance(content, bytes) else content

    studio.answers["GET /api/events"] = answer
    for name in (FIRST, SECOND, THIRD):
        studio.answers[f"GET /api/status/{name}"] = (200, job_answer(name))


def test_what_the_server_tells_is_not_asked_for(studio: ContractServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Over several connections, in the order that the server says, and nothing twice."""
    streams(
        studio,
        told(running=SECOND, waiting=[THIRD, FIRST]),
        told(running=THIRD, waiting=[FIRST]),
        (503, {"message": "It restarts."}),
        told(running="", waiting=[]),
    )
    assert main(["watch", "--until-empty"]) == Exit.DONE
    lines = [line.split("\t")[1:3] for line in capsys.readouterr().out.splitlines()]
    assert lines[:5] == [
        [SECOND, "processing"],
        [THIRD, "pending"],
        [FIRST, "pending"],
        [SECOND, "completed"],
        [THIRD, "processing"],
    ]
    assert sorted(lines[5:]) == sorted([[THIRD, "completed"], [FIRST, "completed"]])
    assert not any(seen.startswith("GET /api/queue") for seen in studio.seen)


def test_the_view_has_the_order_that_the_server_says(studio: ContractServer, terminal: Terminals) -> None:
    streams(studio, told(running=SECOND, waiting=[THIRD, FIRST], paused=True, eta_seconds=75), told(waiting=[]))
    with terminal() as screen:
        assert main(["watch", "--until-empty"]) == Exit.DONE
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.text)
    places = [shown.rindex(short(name)) for name in (SECOND, THIRD, FIRST)]
    assert places == sorted(places)
    assert "paused, 1 running, 2 waiting, 1 min 15 s left" in shown


@pytest.mark.parametrize(
    "content", [event("queue", []), event("jobs", {"order": [1]}), b"event: queue\ndata: \xff\n\n"]
)
def test_an_event_that_is_none_is_said(
    studio: ContractServer, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    streams(studio, content)
    assert main(["watch"]) == Exit.UNREACHABLE
    assert "cannot be read" in capsys.readouterr().err


def test_a_page_instead_of_a_stream_is_none(studio: ContractServer) -> None:
    streams(studio, b"<html>")
    assert main(["watch"]) == Exit.UNREACHABLE
