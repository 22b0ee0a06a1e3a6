"""The words of the command line: the short form, slips, examples, completion."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import words
from client.arguments import commands_of, parser
from client.command_line import main
from client.commands import COMMANDS, LOCAL
from client.examples import EXAMPLES
from client.exit_codes import MEANINGS, Exit
from tests.programs import REPOSITORY
from tests.unit.client.conftest import ORDERS
from tests.unit.client.contract_server import ContractServer


@pytest.mark.parametrize(
    ("given_words", "prompt"),
    [
        (["a red house"], "a red house"),
        (["a", "red", "house"], "a red house"),
        (["-o", "x.png", "a", "red", "--steps", "4", "house", "--seed", "-1"], "a red house"),
        (["generate", "a", "red", "house"], "a red house"),
        (["generate", "queue"], "queue"),
        (["--", "-5", "degrees"], "-5 degrees"),
        (["--steps", "4", "--", "--watch--"], "--watch--"),
        (["winter", "--", "-5", "degrees"], "winter -5 degrees"),
        (["house"], "house"),
        (["gallery of pictures"], "gallery of pictures"),
    ],
)
def test_words_are_drawn(given_words: list[str], prompt: str) -> None:
    args = words.understood(given_words)
    assert args.command == "generate"
    assert " ".join(args.prompt) == prompt


@settings(max_examples=5)  # each makes all parsers anew
@given(st.lists(st.from_regex(r"[a-z]{1,6} [a-z]{1,6}", fullmatch=True), min_size=1, max_size=4))
def test_the_short_form_is_generate(prompt: list[str]) -> None:
    short, long = words.understood([*prompt, "--steps", "4"]), words.understood(["generate", *prompt, "--steps", "4"])
    assert vars(short) == vars(long)


@pytest.mark.parametrize(
    ("given_words", "sentence"),
    [
        (["galery"], "gallery perhaps?"),
        (["Queue"], "queue perhaps?"),
        (["--json", "queue"], "must come first"),
        (["--url", "http://a", "show", "3f9a2c1d"], "must come first"),
        (["queue", "of", "people"], "unrecognized arguments"),
        (["a house", "--stepz", "4"], "--stepz"),
        (["a house", "--prompt", "x"], "--prompt"),
        (["show"], "ID"),
        (["cancel"], "ID"),
        (["download", "3f9a2c1d", "--search", "house"], "not both"),
        (["delete", "--search", "house", "--limit", "0"], "--limit is 0"),
        (["a house", "-o", "-", "--json"], "standard output"),
        (["completion", "csh"], "csh"),
        (["watch", "--every", "0"], "seconds above 0"),
        (["a \udcffhouse"], "not text in UTF-8"),
    ],
)
def test_slips_get_a_sentence(given_words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(given_words)
    assert ended.value.code == Exit.USAGE
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 2


@pytest.mark.parametrize(
    ("given_words", "sentence"),
    [
        (["generate"], "Say what the picture shows"),
        (["--steps", "4"], "Say what the picture shows"),
        (["download"], "--search WORDS"),
        (["a house", "--prompts", "prompts.txt"], "not both"),
        (["--prompts", "missing.txt"], "missing.txt: No such file"),
    ],
)
def test_what_is_missing_is_asked_for(
    studio: ContractServer, given_words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given_words) in (Exit.USAGE, Exit.FILE)
    assert sentence in capsys.readouterr().err
    assert studio.seen == []


def test_there_are_a_command_three_examples_and_a_help_for_each_name(capsys: pytest.CaptureFixture[str]) -> None:
    names = {*COMMANDS, *LOCAL}
    assert names | {""} == EXAMPLES.keys()
    for name in ("", *sorted(names)):
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"] if name else ["--help"])
        assert ended.value.code in (0, None)
        head = capsys.readouterr().out.splitlines()[:4]
        assert head == [*(f"  {example}" for example in EXAMPLES[name]), ""]


@pytest.mark.parametrize("example", [example for examples in EXAMPLES.values() for example in examples])
def test_the_examples_are_understood(example: str) -> None:
    for part in re.split(r" && ", re.split(r" [<>|] ", example)[0]):
        program, *rest = shlex.split(part)
        assert program == "cyberimage"
        words.understood(rest)


def test_the_help_and_the_document_name_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert MEANINGS.keys() == set(Exit)
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    document = (REPOSITORY / "docs" / "client.md").read_text(encoding="utf-8")
    for code, meaning in MEANINGS.items():
        assert re.search(rf"^  {code.value} +{re.escape(meaning)}$", shown, re.MULTILINE), code
        assert f"| {code.value} | {meaning} |" in document


def test_all_options_of_a_picture_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--images", "--like", "--detach", "--prompts", "--size", "{prompt}"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_takes_its_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == Exit.DONE
    script = capsys.readouterr().out
    assert all(name in script for name in ("reset-queue", "until-empty", "prompts"))
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "bash"])
    script = capsys.readouterr().out
    asked = (
        'COMP_WORDS=(cyberimage gal); COMP_CWORD=1; _shtab_cyberimage cyberimage gal cyberimage; echo "${COMPREPLY[@]}"'
    )
    ran = subprocess.run(["bash", "-c", f"{script}\n{asked}"], text=True, capture_output=True, check=True)
    assert ran.stdout.split() == ["gallery"]


def test_without_its_package_completion_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "shtab", None)
    assert main(["completion", "bash"]) == Exit.USAGE
    assert "pip install shtab" in capsys.readouterr().err


def test_a_setting_that_is_added_is_an_option_and_is_sent(
    studio: ContractServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[Any] = []

    def take(body: bytes) -> tuple[int, object]:
        bodies.append(json.loads(body))
        return 200, {"job_id": ORDERS[0], "status": "pending", "num_images": 1}

    studio.answers["POST /api/generate"] = take
    options = ["--steps", "5", "--guidance", "2.5", "--width", "64", "--height", "32", "--tokens", "9", "--seed", "3"]
    assert main(["a house", *options, "--images", "2", "-n", "rain", "--detach"]) == Exit.DONE
    sent = {"num_inference_steps": 5, "guidance_scale": 2.5, "width": 64, "height": 32, "seed": 3}
    sent |= {"max_sequence_length": 9, "num_images": 2}
    assert bodies == [{"model_id": "demo", "prompt": "a house", "negative_prompt": "rain", "settings": sent}]


def test_the_parser_knows_no_abbreviations() -> None:
    """So that a new option never changes what an old command means."""
    assert not any(command.allow_abbrev for command in commands_of(parser()).values())
