"""Whatever is typed, and whatever a server answers: an exit code and a sentence, never a fault of ours."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.arguments import commands_of, parser
from client.command_line import main
from client.exit_codes import Exit
from tests.unit.client.conftest import ORDERS, gallery_answer, image_id, job_answer, jobs_answer
from tests.unit.client.contract_server import ContractServer

OPTIONS = sorted(
    {
        name
        for command in commands_of(parser()).values()
        for action in command._actions
        for name in action.option_strings
    }
)
NAMES = sorted(commands_of(parser()))
WORDS = ["-", "--", "", "@last", "a red house", "1", "-1", "x.png", "{n}.webp", "folder/", "64x64", ORDERS[0], "img_1"]

words = st.one_of(st.sampled_from(OPTIONS), st.sampled_from(WORDS), st.sampled_from(NAMES), st.text(max_size=8))
any_answer = st.one_of(
    st.binary(max_size=20),
    st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2)),
    st.fixed_dictionaries({"message": st.one_of(st.text(max_size=9), st.integers())}),
)


def code_of(arguments: list[str]) -> int:
    """The exit code, however the program ends."""
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0


@pytest.fixture
def patient_nobody(studio: ContractServer, monkeypatch: pytest.MonkeyPatch) -> ContractServer:
    """Who waits is interrupted; standard input is empty."""

    def press(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", press)
    monkeypatch.setattr("client.transport._PAUSES", ())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    studio.answers |= {
        "GET /api/gallery": (200, gallery_answer((image_id(ORDERS[0], 1), "a house"))),
        "GET /api/jobs": (200, jobs_answer((ORDERS[0], "a house"))),
    }
    return studio


quick = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(name=st.sampled_from(NAMES), rest=st.lists(words, max_size=5))
def test_any_words(patient_nobody: ContractServer, name: str, rest: list[str]) -> None:
    for arguments in ([name, *rest], rest):
        assert code_of(arguments) in set(Exit) - {Exit.FAULT}


COMMANDS = [
    ["a red house"],
    ["--like", ORDERS[0]],
    ["wait", ORDERS[0]],
    ["show", "3f9a2c1d_1"],
    ["cancel", "3f9a2c1d"],
    ["retry", ORDERS[0]],
    ["jobs"],
    ["gallery", "--all"],
    ["download", ORDERS[0]],
    ["delete", "--search", "house", "--yes"],
    ["label", image_id(ORDERS[0], 1), "--add", "sea"],
    ["enrich", "a house"],
    ["models"],
    ["queue", "--detailed"],
    ["watch"],
    ["pause"],
    ["move", ORDERS[0]],
    ["login"],
]


@quick
@given(
    command=st.sampled_from(COMMANDS), status=st.sampled_from([200, 400, 404, 409, 429, 500, 503]), answer=any_answer
)
def test_any_answer(patient_nobody: ContractServer, command: list[str], status: int, answer: Any) -> None:
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    patient_nobody.answers = {}
    patient_nobody.otherwise = (status, content)
    codes = set(Exit) - {Exit.FAULT, Exit.USAGE} if status != 200 else set(Exit) - {Exit.FAULT}
    assert code_of(command) in codes


@quick
@given(
    fields=st.dictionaries(st.sampled_from(sorted(job_answer(ORDERS[0]))), any_answer, max_size=2),
    metadata=st.dictionaries(st.sampled_from(["seed", "image_number", "prompt"]), any_answer, max_size=2),
)
def test_a_job_with_odd_fields(
    patient_nobody: ContractServer, fields: dict[str, Any], metadata: dict[str, Any]
) -> None:
    job = job_answer(ORDERS[0])
    job["images"][0]["metadata"] |= _plain(metadata)
    patient_nobody.answers[f"GET /api/status/{ORDERS[0]}"] = (200, job | _plain(fields))
    for command in (["show", ORDERS[0]], ["download", ORDERS[0], "-f", "-o", "{prompt}-{seed}.png"], ["a house", "-f"]):
        assert code_of(command) != Exit.FAULT


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}
