"""The queue by the command line: hold it, and give jobs another turn."""

from __future__ import annotations

import json

import pytest

from client.command_line import main
from client.exit_codes import Exit
from tests.unit.client.conftest import ORDERS
from tests.unit.client.contract_server import ContractServer


@pytest.mark.parametrize(("command", "said"), [("pause", "No job is begun"), ("resume", "begun again")])
def test_holding_the_queue(studio: ContractServer, command: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    studio.answers[f"POST /api/queue/{command}"] = (200, {"paused": command == "pause", "message": "so"})
    assert main([command]) == Exit.DONE
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "bodies"),
    [
        ([], [(2, {"to": "front"}), (1, {"to": "front"})]),
        (["--front"], [(2, {"to": "front"}), (1, {"to": "front"})]),
        (["--back"], [(1, {"to": "back"}), (2, {"to": "back"})]),
        (["--before", ORDERS[3]], [(1, {"before": ORDERS[3]}), (2, {"before": ORDERS[3]})]),
    ],
)
def test_jobs_that_are_moved_keep_the_order_in_which_they_are_named(
    studio: ContractServer, options: list[str], bodies: list[tuple[int, object]]
) -> None:
    for order in ORDERS:
        studio.answers[f"POST /api/jobs/{order}/move"] = (200, {"job_id": order, "queue_position": 1})
    assert main(["move", ORDERS[1], ORDERS[2], *options]) == Exit.DONE
    assert studio.seen == [f"POST /api/jobs/{ORDERS[n]}/move" for n, _ in bodies]
    assert [json.loads(body) for body in studio.bodies] == [body for _, body in bodies]


@pytest.mark.parametrize(("position", "said"), [(0, "is next"), (4, "has 4 before it"), (None, "begins")])
def test_where_a_job_is_now(
    studio: ContractServer, position: int | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"job_id": ORDERS[1], "queue_position": position}
    studio.answers[f"POST /api/jobs/{ORDERS[1]}/move"] = (200, answer)
    assert main(["move", ORDERS[1]]) == Exit.DONE
    assert capsys.readouterr().out == f"{ORDERS[1]} {said}\n"


@pytest.mark.parametrize("words", [["queue"], ["queue", "--detailed"], ["models"], ["reset-queue"]])
def test_the_server_in_words(studio: ContractServer, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"pending": 3, "processing": 1, "completed": 5, "total": 9}
    studio.answers["GET /api/queue"] = (
        200,
        counts | {"paused": True, "recent_24h": counts, "models": {"demo": counts}},
    )
    studio.answers["POST /api/reset_queue"] = (200, {"reset_count": 2, "message": "Two are back."})
    assert main(words) == Exit.DONE
    shown = capsys.readouterr().out
    wanted = {"queue": "paused", "models": "demo*\tyes", "reset-queue": "Two are back."}
    assert wanted[words[0]] in shown
    if "--detailed" in words:
        assert "last 24 hours\t3\t1\t5\t0\t0\t9\n" in shown
