"""`tools/install.py`: what it tells uv, what it marks as installed, and what it says without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import REPOSITORY, free_port, without_coverage
from tools import install


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the set-up reads, with an environment in which pip is, but nothing that was installed."""
    folder = tmp_path / "clone"
    (folder / "tools").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "tools/install.py"):
        shutil.copy(REPOSITORY / name, folder / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
    (packages,) = (folder / ".venv").glob("lib/python*/site-packages")
    import pip

    (packages / "pip").symlink_to(Path(pip.__file__).parent)
    return folder


def make(clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make in the clone, by this Python and without the pip settings of this machine."""
    given = {name: value for name, value in without_coverage().items() if not name.startswith(("PIP_", "UV_"))}
    given |= {"PIP_CONFIG_FILE": os.devnull, "PATH": "/usr/bin:/bin"} | environment
    command = ["make", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(command, cwd=clone, env=given, capture_output=True, text=True, timeout=240, check=False)


def test_without_a_network_a_sentence_says_so_and_nothing_is_marked(clone: Path) -> None:
    index = f"http://127.0.0.1:{free_port()}/simple"
    done = make(clone, "demo", PIP_INDEX_URL=index)
    assert done.returncode != 0
    assert "The packages cannot be reached: no package index answers." in done.stderr
    assert "export PIP_INDEX_URL=" in done.stderr
    assert "The installer said: " in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not list((clone / ".venv").glob(".ready*"))


def test_make_sets_up_what_a_target_needs_and_again_after_a_change(clone: Path) -> None:
    def planned(target: str) -> list[str]:
        return [
            line.split()[-1] for line in make(clone, "-n", target).stdout.splitlines() if "tools/install.py" in line
        ]

    assert (planned("demo"), planned("run"), planned("check")) == (["run"], ["run"], ["dev"])
    (clone / ".venv" / ".ready").touch()
    assert (planned("demo"), planned("check")) == ([], ["dev"])
    (clone / ".venv" / ".ready-dev").touch()
    assert (planned("demo"), planned("check")) == ([], [])
    later = (clone / ".venv" / ".ready-dev").stat().st_mtime + 5
    os.utime(clone / "pyproject.toml", (later, later))
    assert (planned("demo"), planned("check")) == (["run"], ["dev"])


def test_an_old_python_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(install, "OLDEST_PYTHON", (9, 0))
    assert install.main("run") == 1
    assert "make PYTHON=" in capsys.readouterr().err


def test_the_settings_of_pip_hold_for_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By pip's own precedence: the environment, then the command's section, then the global one."""
    files = tmp_path / "pip.conf"
    files.write_text(
        "[global]\nindex-url = https://a.example/simple\ntimeout = 7\nfind-links = /wheels\n  /more\n"
        "trusted-host = a.example b.example\n[install]\nindex-url = https://b.example/simple\nno-index = true\n",
        encoding="utf-8",
    )
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(files))
    monkeypatch.setenv("PIP_TIMEOUT", "9")
    monkeypatch.setattr(install, "PYTHON", Path(sys.executable))
    environment, options = install.as_uv_reads(install._pip_settings())
    assert environment["UV_DEFAULT_INDEX"] == "https://b.example/simple"
    assert environment["UV_FIND_LINKS"] == "/wheels,/more"
    assert environment["UV_INSECURE_HOST"] == "a.example b.example"
    assert environment["UV_HTTP_TIMEOUT"] == "9"
    assert environment["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert options == ["--no-index"]


def test_what_uv_was_told_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example/simple")
    environment, options = install.as_uv_reads({"index-url": "https://pip.example/simple"})
    assert (environment["UV_DEFAULT_INDEX"], options) == ("https://uv.example/simple", [])
