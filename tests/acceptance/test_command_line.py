"""The command line and the examples of docs/client.md against real programs, in a real terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from client import CyberImageClient
from client.exit_codes import Exit
from client.short_ids import short
from http_api.access import digest_of
from tests import programs
from tests.acceptance.conftest import Service
from tests.programs import REPOSITORY, wait_until

COMMAND = [sys.executable, "-m", "client.command_line"]
DOCUMENT = (REPOSITORY / "docs" / "client.md").read_text(encoding="utf-8")
LINES = [
    line
    for block in re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("cyberimage ")
]
EXAMPLES = [line for line in LINES if "--image " not in line]
#: What begins from pictures, which the demo model cannot.
FROM_PICTURES = [line for line in LINES if "--image " in line]


def environment(service: Service) -> dict[str, str]:
    home = {"XDG_STATE_HOME": str(service.data.parent / "state")}
    return os.environ | home | {"CYBERIMAGE_URL": service.api.base, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"}


def run(service: Service, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        cwd=folder,
        env=environment(service),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def hear_interrupts() -> None:
    """Undo what a background job of a shell inherits: there, SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A command in a pseudo terminal, and all that it has shown."""

    def __init__(self, service: Service, folder: Path, *words: str) -> None:
        self.shown = ""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            hear_interrupts()
            os.chdir(folder)
            os.execvpe(sys.executable, [*COMMAND, *words], environment(service) | {"TERM": "xterm"})

    def read_until(self, pattern: str, timeout: float = 120) -> str:
        """Read until `pattern` is shown, or to the end."""
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.shown):
            assert time.monotonic() < deadline, self.shown
            if not select.select([self._terminal], [], [], 1)[0]:
                continue
            try:
                data = os.read(self._terminal, 65536)
            except OSError:  # the end, as Linux says it of a terminal
                break
            self.shown += data.decode(errors="replace")
        return self.shown

    def press_ctrl_c(self) -> None:
        os.write(self._terminal, b"\x03")

    def end(self) -> int:
        """Read the rest; returns the exit code."""
        self.read_until(r"(?!)")
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_terminal_shows_a_bar_and_the_file(service: Service, tmp_path: Path) -> None:
    terminal = Terminal(service, tmp_path, "generate", "a red house", "-m", "demo", "--steps", "30", "-o", "house.png")
    assert terminal.end() == 0, terminal.shown
    assert re.search(r"step \d+/30", terminal.shown), terminal.shown
    assert "image 1 of 1" in terminal.shown
    assert "━" in terminal.shown
    assert "house.png" in terminal.shown
    Image.open(tmp_path / "house.png").verify()


def test_ctrl_c_cancels_the_job_at_the_server(service: Service, tmp_path: Path) -> None:
    words = ("generate", "a red house in the rain", "-m", "demo", "--steps", "100", "--images", "8")
    terminal = Terminal(service, tmp_path, *words)
    terminal.read_until(r"step \d+/100")
    terminal.press_ctrl_c()
    assert terminal.end() == 130, terminal.shown
    assert "is cancelled" in terminal.shown
    (job_id,) = re.findall(r"the job ([0-9a-f-]{36}) is", terminal.shown.replace("\r\n", ""))
    status = service.api.wait_for(job_id, "failed")
    assert status["error_type"] == "cancelled"
    assert "0 of 8 pictures are saved" in terminal.shown
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_without_a_terminal_cancels_too(service: Service, tmp_path: Path) -> None:
    words = ["generate", "a red house in the fog", "-m", "demo", "--steps", "100", "--images", "8", "--json"]
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=tmp_path,
        env=environment(service),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=hear_interrupts,
    )
    with CyberImageClient(service.api.base) as client:
        job = wait_until(
            lambda: next((job for job in client.jobs(limit=5).jobs if job.prompt.endswith("in the fog")), None)
        )
        assert job is not None
        wait_until(lambda: client.status(job.id).status == "processing", about="the start")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 130
        assert json.loads(out)["exit_code"] == 130
        service.api.wait_for(job.id, "failed")


def test_every_answer_in_json_is_one_document(service: Service, tmp_path: Path) -> None:
    made = run(service, tmp_path, "generate", "a lake", "-m", "demo", "--steps", "2", "--images", "2", "--json")
    assert made.returncode == 0, made.stderr
    answer = json.loads(made.stdout)
    assert made.stderr == ""
    job_id, image_id = answer["job"]["id"], answer["job"]["images"][0]["id"]
    for file in answer["files"]:
        Image.open(tmp_path / file).verify()
    wait_until(lambda: image_id in service.api.get("/gallery").text, about="the image in the gallery")
    request = tmp_path / "job.json"
    request.write_text('{"model_id": "demo", "prompt": "a lake", "settings": {"num_inference_steps": 2}}', "utf-8")
    words = [
        f"show {job_id}",
        f"show {image_id} {short(image_id)} {short(job_id)} @last",
        f"--like {short(image_id)} --steps 2 --same-seed -o like.webp",
        "download --search lake --limit 1 -o {seed}.jpg",
        "queue",
        "queue --detailed",
        "models",
        "jobs",
        "gallery --all",
        "gallery",
        "enrich lake",
        f"download {job_id} -o again.png",
        f"wait {job_id} -o third.png",
        f"retry {job_id}",
        "submit job.json --wait -o fourth.png",
        "reset-queue",
        f"delete {image_id}",
    ]
    for command in words:
        done = run(service, tmp_path, *command.split(), "--json")
        assert done.returncode == 0, (command, done.stderr)
        assert isinstance(json.loads(done.stdout), dict), command
    assert run(service, tmp_path, "show", image_id).returncode == 3
    assert run(service, tmp_path, "cancel", job_id).returncode == 4
    assert run(service, tmp_path, "show", "nothing").returncode == 3


def test_the_server_rejects_with_a_sentence(service: Service, tmp_path: Path) -> None:
    done = run(service, tmp_path, "generate", "a lake", "-m", "no-such-model")
    assert done.returncode == 4
    assert "no-such-model" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_server_that_asks_for_a_key(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"me read,submit {digest_of('secret')}\n", "utf-8")
    with programs.api(tmp_path / "data", {"CYBERIMAGE_API_KEYS": str(keys)}) as api:
        codes = {}
        for key in ("", "wrong", "secret"):
            known = os.environ | {"CYBERIMAGE_URL": api.base, "CYBERIMAGE_API_KEY": key}
            done = subprocess.run([*COMMAND, "queue"], cwd=REPOSITORY, env=known, capture_output=True, check=False)
            codes[key] = done.returncode
    assert codes == {"": 4, "wrong": 4, "secret": 0}


@pytest.mark.parametrize("line", EXAMPLES)
def test_the_examples_of_the_document_run(service: Service, tmp_path: Path, line: str) -> None:
    _, *words = shlex.split(line, comments=True)
    done = run(service, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    pictures = r"[\w-]+\.(?:png|jpg)"
    wanted = re.findall(pictures, line.partition("#")[2]) or re.findall(pictures, line)
    if line == 'cyberimage "a red house"':
        wanted = re.findall(pictures, done.stdout)
        assert len(wanted) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(wanted)


@pytest.mark.parametrize("line", FROM_PICTURES)
def test_the_examples_with_pictures_reach_the_server(service: Service, tmp_path: Path, line: str) -> None:
    _, *words = shlex.split(line, comments=True)
    for name in re.findall(r"[\w-]+\.png", line):
        Image.new("RGB", (256, 256), "white").save(tmp_path / name)
    done = run(service, tmp_path, *words)
    assert done.returncode == Exit.REJECTED, done.stdout + done.stderr
    assert "demo" in done.stderr


def test_the_python_of_the_document_runs(service: Service, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    code = code.replace("CyberImageClient()", f"CyberImageClient({service.api.base!r})", 1)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(service),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("img_*.png"))) == 2
