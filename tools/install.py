"""Install the packages into .venv: `python tools/install.py run` what the programs need, `dev` what tests need, too.

By uv, which is fetched by pip where it is missing; by pip where there is no uv for this machine. pip's own settings
(a mirror, a proxy, a certificate) hold for both. Runs before anything is installed: the standard library only. What was
installed wholly is marked by a file (`.venv/.ready`, `.venv/.ready-dev`), which make compares with pyproject.toml.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
VENV = Path(".venv")
PYTHON = VENV / "bin" / "python"
#: The extras of pyproject.toml, and the marks of what is then installed, by the word that is asked for.
LEVELS = {"run": (("runner", "run"), (".ready",)), "dev": (("runner", "run", "mcp", "dev"), (".ready", ".ready-dev"))}
OLDEST_PYTHON = (3, 11)

#: What pip's settings are called by uv, and what stands between several values there.
UV_NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "constraint": ("UV_CONSTRAINT", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "proxy": ("ALL_PROXY", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
}
#: What pip and uv say where no package index answers.
UNREACHABLE = re.compile(
    r"failed to establish a new connection|name resolution|name or service not known|dns error|failed to fetch"
    r"|could not connect|connection refused|connection broken|timed out|network is unreachable|cannot connect to proxy"
    r"|no route to host|error sending request|max retries|certificate verify",
    re.IGNORECASE,
)
#: Where nobody sees a line being overwritten, one is printed every so often, in seconds.
REPORT_SECONDS = 10.0


class Failed(Exception):
    """An installer ended badly; holds what it said."""


def main(level: str) -> int:
    """Install; returns the exit status."""
    if sys.version_info < OLDEST_PYTHON:
        return _say(f"This is Python {sys.version.split()[0]}; CyberImage needs 3.11 or newer: make PYTHON=python3.11")
    os.chdir(REPOSITORY)
    extras, marks = LEVELS[level]
    begun = time.monotonic()
    print("Installing the packages into .venv (once; about 1 GB)", flush=True)
    try:
        _make_venv()
        _install(f".[{','.join(extras)}]", compiled=level == "dev")
    except Failed as failure:
        return _say(_explain(str(failure)))
    for mark in marks:
        (VENV / mark).touch()
    print(f"Installed after {time.monotonic() - begun:.0f} s.", flush=True)
    return 0


def _say(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 1


def _make_venv() -> None:
    """Make the environment, or make it anew if its Python is gone or another, or complete one that lacks pip."""
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    command = [str(PYTHON), "-c", "import sys; print(sys.version.split()[0]); import pip; print('pip')"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        found = ""
    if not found.startswith(f"{ours}."):
        _run([sys.executable, "-m", "venv", "--clear", str(VENV)], "making the environment")
    elif "pip" not in found:
        _run([sys.executable, "-m", "venv", str(VENV)], "completing the environment")


def _install(project: str, compiled: bool) -> None:
    """Install the project, by uv if it can be had.

    `compiled` has all modules compiled at once, as pip does it: tests start so many programs. A first picture is there
    sooner if Python compiles what it imports.
    """
    wanted = ["--constraint", "constraints.txt", "--editable", project]
    uv = shutil.which("uv") or _fetch_uv()
    if uv is None:
        _run([str(PYTHON), "-m", "pip", "install", *wanted], "installing")
        return
    environment, options = as_uv_reads(_pip_settings())
    if compiled:
        options.append("--compile-bytecode")
    try:
        _run([uv, "pip", "install", "--python", str(PYTHON), *options, *wanted], "installing", environment)
    except Failed as failure:
        if UNREACHABLE.search(str(failure)):
            raise
        _say(f"uv could not do it, so pip tries: {_last_line(str(failure))}")
        _run([str(PYTHON), "-m", "pip", "install", *wanted], "installing")


def _fetch_uv() -> str | None:
    """uv, installed by pip; None if there is none for this machine."""
    command = [str(PYTHON), "-m", "pip", "--retries", "2", "install", "--constraint", "constraints.txt", "uv"]
    try:
        _run(command, "fetching the installer")
    except Failed as failure:
        if UNREACHABLE.search(str(failure)):
            raise
        return None
    return str(VENV / "bin" / "uv")


def _pip_settings() -> dict[str, str]:
    """What pip was told by its files and the environment, by the names of its options."""
    command = [str(PYTHON), "-m", "pip", "config", "list"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    setting = re.compile(r"(global|install|:env:)\.([\w-]+)=('.*'|\".*\")")
    given = [match for line in lines if (match := setting.fullmatch(line))]
    given.sort(key=lambda match: ("global", "install", ":env:").index(match[1]))
    return {match[2]: str(ast.literal_eval(match[3])) for match in given}


def as_uv_reads(pip: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """pip's settings as variables and options of uv; what uv was told itself goes first.

    pip takes a version from any of its indexes, which uv does only if asked.
    """
    told = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_NO_PROGRESS": "1"}
    for name, (variable, between) in UV_NAMES.items():
        if values := pip.get(name, "").split():
            told[variable] = between.join(values)
    no_index = pip.get("no-index", "").lower() in ("1", "true", "yes", "on")
    return told | dict(os.environ), ["--no-index"] if no_index else []


def _run(command: list[str], doing: str, environment: dict[str, str] | None = None) -> None:
    """Run an installer and show that it is at work; raises Failed with the end of what it said."""
    said: deque[str] = deque(maxlen=400)
    progress = Progress(doing)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line.rstrip())
            progress.show(line.strip())
    progress.end("failed" if process.returncode else "done")
    if process.returncode:
        raise Failed("\n".join(said) or f"{command[0]} ended with status {process.returncode}")


class Progress:
    """One line that says what is being done, and for how long."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._begun = self._told = time.monotonic()
        self._terminal = sys.stdout.isatty()
        self.show("")

    def show(self, detail: str) -> None:
        """Say what the installer has just said."""
        now = time.monotonic()
        text = f"{now - self._begun:4.0f} s  {self._doing}  {re.sub(r' from .*| @ .*', '', detail)}"
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K  {text[:width]}", end="", flush=True)
        elif now - self._told >= REPORT_SECONDS:
            self._told = now
            print(f"  {text}", flush=True)

    def end(self, how: str) -> None:
        """Leave the line."""
        seconds = time.monotonic() - self._begun
        start = "\r\x1b[K" if self._terminal else ""
        print(f"{start}  {seconds:4.0f} s  {self._doing}: {how}", flush=True)


def _last_line(text: str, about: str = ".") -> str:
    """The last line in which something matches `about`; by default, that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if re.search(about, line, re.IGNORECASE)), "")


def _explain(said: str) -> str:
    if UNREACHABLE.search(said):
        return (
            "The packages cannot be reached: no package index answers. The first set-up needs a network; where an "
            "index is near you, name it (export PIP_INDEX_URL=https://packages.example/simple). Then run this again.\n"
            f"The installer said: {_last_line(said, UNREACHABLE.pattern)}"
        )
    end = "\n".join(said.splitlines()[-15:])
    return (
        f"The packages could not be installed. The installer's last words:\n{end}\nPut that right and run this again."
    )


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in LEVELS:
        sys.exit(f"usage: python tools/install.py {'|'.join(LEVELS)}")
    sys.exit(main(sys.argv[1]))
