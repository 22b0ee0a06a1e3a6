"""`watch`: a view on a terminal, a line for each change elsewhere, and it outlives a restart of the server."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from rich.cells import cell_len

from client.command_line import main
from client.exit_codes import Exit
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
