"""Real processes in odd surroundings: closed pipes, encodings, an interrupt. Whatever happens is told in a sentence."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from client import command_line
from client.command_line import main
from client.exit_codes import Exit
from tests.programs import REPOSITORY, wait_until
from tests.unit.client.conftest import ORDERS, add_job, gallery_answer, image_id, job_answer
from tests.unit.client.contract_server import ContractServer

COMMAND = f"{shlex.quote(sys.executable)} -m client.command_line"


def shell(text: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `cyberimage` is the command line; a pipe succeeds if all its parts do."""
    return subprocess.run(
        ["bash", "-c", f'set -o pipefail; cyberimage() {{ {COMMAND} "$@"; }}; {text}'],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def full(studio: ContractServer) -> ContractServer:
    """A gallery without end, as far as a pipe can tell."""
    many = [(image_id(order, number), "a red 🏠" * 200) for order in ORDERS for number in range(1, 6)]
    studio.answers["GET /api/gallery"] = (200, gallery_answer(*many) | {"has_more": True})
    return studio


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("cyberimage gallery --all | head -1", 0),
        ("cyberimage gallery --help | true", 0),
        ("cyberimage queue >&-", 0),
        ("cyberimage show nothing 2>&-", Exit.NOT_FOUND),
    ],
)
def test_a_reader_may_leave(full: ContractServer, text: str, code: int) -> None:
    done = shell(text)
    assert (done.returncode, done.stderr) == (code, "")


def test_a_full_disk_behind_the_output_is_said(full: ContractServer) -> None:
    done = shell("cyberimage gallery > /dev/full")
    assert done.returncode == Exit.FILE
    assert done.stderr == "cyberimage: Standard output: No space left on device.\n"


def test_pictures_are_saved_although_nobody_reads_their_names(studio: ContractServer) -> None:
    add_job(studio, ORDERS[1], count=3)
    done = shell("cyberimage 'a red house' --images 3 -o {n}.png 2>/dev/null | true")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in Path().iterdir()) == ["1.png", "2.png", "3.png"]


def test_an_emoji_is_escaped(full: ContractServer) -> None:
    done = shell("cyberimage gallery", PYTHONIOENCODING="cp1252")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "a red \\U0001f3e0" in done.stdout


def test_an_interrupt_after_three_of_eight(studio: ContractServer) -> None:
    add_job(studio, ORDERS[1], count=8)
    state: tuple[str, int] = ("processing", 3)
    studio.answers[f"GET /api/status/{ORDERS[1]}"] = lambda body: (
        200,
        job_answer(ORDERS[1], state[0], images=state[1], count=8),
    )

    def cancel(body: bytes) -> tuple[int, object]:
        nonlocal state
        state = ("failed", 4)  # one more was finished while the job stopped
        return 200, {"cancelled": False, "message": "The job stops at its next step"}

    studio.answers[f"POST /api/jobs/{ORDERS[1]}/cancel"] = cancel
    words = [*shlex.split(COMMAND), "a red house", "--images", "8", "-o", "{n}.png"]
    process = subprocess.Popen(
        words,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Undo what a background job of a shell inherits: there, SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    wait_until(lambda: Path("3.png").exists() or None, about="the third picture")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == Exit.INTERRUPTED
    assert out.split() == ["1.png", "2.png", "3.png", "4.png"]
    assert err.endswith("cyberimage: Interrupted: 4 of 8 pictures are saved.\n")
    assert sorted(path.name for path in Path().iterdir()) == ["1.png", "2.png", "3.png", "4.png"]


def test_a_fault_of_ours_is_a_sentence(
    studio: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(command_line, "_run", fail)
    assert main(["queue"]) == Exit.FAULT
    assert "fault of the program itself (ZeroDivisionError: division by zero)" in capsys.readouterr().err
    monkeypatch.setenv("CYBERIMAGE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["queue"])


def test_a_package_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: object) -> None:
        raise ModuleNotFoundError("No module named 'httpx'", name="httpx")

    monkeypatch.setattr(command_line, "_run", fail)
    assert main(["queue"]) == Exit.FAULT
    assert capsys.readouterr().err == "cyberimage: the Python package httpx is missing; run: pip install httpx\n"


def test_an_interrupt_at_any_other_time_is_one_word(
    studio: ContractServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("client.api_client.CyberImageClient.queue", press)
    assert main(["queue"]) == Exit.INTERRUPTED
    assert capsys.readouterr().err == "cyberimage: Interrupted.\n"


def test_stderr_that_nobody_reads_is_no_matter(studio: ContractServer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        encoding = "utf-8"

        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

        def fileno(self) -> int:
            return os.open(os.devnull, os.O_WRONLY)

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stderr", Gone())
    assert main(["a red house", "-o", "house.png"]) == Exit.DONE
    assert Path("house.png").exists()
