"""`make demo`: start both programs, ask for a picture over HTTP as anybody would, and stop again.

python examples/demo.py ["a prompt"] [--keep] [--output picture.png]
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

REPOSITORY = Path(__file__).resolve().parent.parent
PROMPT = "a red house and a green tree on a hill at sunset"
USUAL_PORT = 5050
ALREADY_RUNNING = 75  # exit status of a second runner on the same device
START_SECONDS = 30
PICTURE_SECONDS = 600

IMPORTED_LAST = (
    *(f"diffusers/{name}" for name in ("models", "utils", "hooks", "loaders", "quantizers", "schedulers")),
    *(f"transformers/{name}" for name in ("utils", "quantizers", "integrations", "generation", "loss", "models/auto")),
    "accelerate",
    "huggingface_hub",
)

console = Console()


def main() -> int:
    """Draw one picture; returns the exit status."""
    arguments = _arguments()
    started = time.monotonic()
    # The API is this program's own and answers this machine only, so its limit per hour would only be in the way.
    environment = {"CYBERIMAGE_RATE_LIMIT": "off"} | os.environ | {"PORT": str(_port())}
    # What is compiled at the first import is kept, so that the next start of a worker takes half as long.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with _compiled_ahead(), _programs(environment) as programs:
        api = f"http://127.0.0.1:{environment['PORT']}/api"
        with console.status("Starting the API and the runner"):
            _wait_for_api(api, programs)
        status = _draw(api, arguments.prompt, programs)
        if status["status"] != "completed":
            console.print(f"The job failed: {status['message']}", style="red")
            return 1
        _save(api, status, arguments.output)
        console.print(f"It took {time.monotonic() - started:.0f} s from the start of both programs.\n")
        _explain(status, arguments, environment["PORT"])
        if arguments.keep:
            _stay(programs)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw a first picture with the demo model.")
    parser.add_argument("prompt", nargs="?", default=PROMPT)
    parser.add_argument("--output", type=Path, default=Path("demo.png"), help="where to save the picture")
    parser.add_argument("--keep", action="store_true", help="leave both programs running until Ctrl-C")
    return parser.parse_args()


def _port() -> int:
    """PORT, if it is given; else the usual port, or any other if somebody has that."""
    given = os.environ.get("PORT")
    if given is not None and not (given.isascii() and given.isdigit() and 0 < int(given) < 65536):
        raise SystemExit(f"PORT is {given!r}; it must be an integer from 1 to 65535.")
    for port in (int(given),) if given else (USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit(f"PORT is {given}, which cannot be used (is it taken?): choose another, or leave PORT out.")


@contextmanager
def _compiled_ahead() -> Iterator[None]:
    """Compile what the worker imports last while it imports torch: at a first start that is half of the wait.

    Where everything is compiled this ends at once, and where a package has other folders the worker does it itself.
    """
    packages = Path(sysconfig.get_path("purelib"))
    folders = [str(packages / name) for name in IMPORTED_LAST if (packages / name).is_dir()]
    with subprocess.Popen([sys.executable, "-m", "compileall", "-qq", *folders], stdout=subprocess.DEVNULL) as compiler:
        try:
            yield
        finally:
            compiler.terminate()


@contextmanager
def _programs(environment: dict[str, str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Both lines of the Procfile as processes; ended on the way out. Their logs go to var-demo.log."""
    log_path = REPOSITORY / "var-demo.log"
    commands = (
        [sys.executable, "-m", "gunicorn", "-c", "python:http_api.gunicorn_conf", "http_api.app:get_app()"],
        [sys.executable, "-m", "runner"],
    )
    with log_path.open("wb") as log:
        running = [
            subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log) for command in commands
        ]
        try:
            yield running
        except Exception:
            console.print(f"Something went wrong; the logs are in {log_path.name}.", style="red")
            raise
        finally:
            _end(running)


def _end(programs: list[subprocess.Popen[bytes]]) -> None:
    for program in programs:
        program.terminate()
    for program in programs:
        try:
            program.wait(timeout=20)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def _wait_for_api(api: str, programs: list[subprocess.Popen[bytes]]) -> None:
    """Wait until the API answers; both programs start in about a second."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        _check_alive(programs)
        try:
            httpx.get(f"{api}/models").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"The API did not answer within {START_SECONDS} s; see var-demo.log.")


def _check_alive(programs: list[subprocess.Popen[bytes]]) -> None:
    web, runner = (program.poll() for program in programs)
    if web is not None:
        raise SystemExit(f"The API ended with status {web}; see var-demo.log.")
    if runner not in (None, ALREADY_RUNNING):
        raise SystemExit(f"The runner ended with status {runner}; see var-demo.log.")


def _draw(api: str, prompt: str, programs: list[subprocess.Popen[bytes]]) -> dict[str, Any]:
    """Submit the prompt and follow the job to its end."""
    answer = httpx.post(f"{api}/generate", json={"model_id": "demo", "prompt": prompt})
    if answer.status_code != httpx.codes.OK:
        raise SystemExit(f"The API refused the job: {answer.json()['message']}")
    job_id = answer.json()["job_id"]
    console.print(f"[bold]{prompt}[/bold]\nJob {job_id}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None)
        deadline = time.monotonic() + PICTURE_SECONDS
        while time.monotonic() < deadline:
            _check_alive(programs)
            status: dict[str, Any] = httpx.get(f"{api}/status/{job_id}").json()
            progress = status["progress"]
            # Until the worker takes it, it imports: that is most of the wait for a first picture.
            doing = "The worker is starting: torch, diffusers" if status["status"] == "pending" else status["message"]
            bar.update(task, description=doing, completed=progress["step"], total=progress["total_steps"])
            if status["status"] in ("completed", "failed"):
                return status
            time.sleep(0.2)
    raise SystemExit(f"No picture within {PICTURE_SECONDS} s; see var-demo.log.")


def _save(api: str, status: dict[str, Any], output: Path) -> None:
    image = httpx.get(f"{api}/get_image/{status['images'][0]['id']}").raise_for_status()
    output.write_bytes(image.content)
    console.print(f"Saved {output} ({len(image.content):,} bytes).", style="green")


def _explain(status: dict[str, Any], arguments: argparse.Namespace, port: str) -> None:
    data = os.environ.get("CYBERIMAGE_DATA", "var")
    path = f"{data}/outputs/{status['images'][0]['file_path']}"
    console.print(f"The original is {path}, its settings lie beside it.", soft_wrap=True)
    if arguments.keep:
        console.print(f"The page is at http://127.0.0.1:{port}/ - Ctrl-C stops both programs.")
    else:
        console.print("Nothing is left running. Next: `make run` and open http://127.0.0.1:5050/,")
        console.print("or another prompt: make demo ARGS='\"a lighthouse by the sea at night\"'")


def _stay(programs: list[subprocess.Popen[bytes]]) -> None:
    try:
        programs[0].wait()
    except KeyboardInterrupt:
        console.print("Stopping.")


if __name__ == "__main__":
    sys.exit(main())
