"""The files in deploy/ name what the programs have."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from core.settings import Settings
from http_api.api import metrics as metrics_resource
from service.maintenance import Maintenance
from service.services import build_services
from tests.programs import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
#: What the example environment changes, and why, is said in the file itself.
OWN = {"CYBERIMAGE_DATA", "CYBERIMAGE_CATALOG", "CYBERIMAGE_MODELS"}


def example() -> str:
    """The example environment as the settings have it."""
    paths = {
        "CYBERIMAGE_DATA": "/var/lib/cyberimage/data",
        "CYBERIMAGE_CATALOG": "/opt/cyberimage/models.toml",
        "CYBERIMAGE_MODELS": "/var/lib/cyberimage/models",
    }
    lines = [
        "# Settings of both programs, for /etc/cyberimage/cyberimage.env (mode 0640). The README has the same table.",
        "# What is commented out shows its default. Made by: python -m tests.unit.test_deploy",
    ]
    for item in fields(Settings):
        name = item.metadata["name"]
        value = paths.get(name, item.metadata["default"])
        lines += ["", f"# {item.metadata['about']}", f"{'' if name in paths else '#'}{name}={value}"]
    return "\n".join(lines) + "\n"


def test_the_example_environment_is_made_from_the_settings() -> None:
    assert (DEPLOY / "example.env").read_text(encoding="utf-8") == example(), "run: python -m tests.unit.test_deploy"


def test_the_example_environment_can_be_used() -> None:
    given = dict(re.findall(r"^([A-Z_]+)=(.*)$", example(), re.MULTILINE))
    assert set(given) == OWN
    assert Settings.from_environment(given).data == Path("/var/lib/cyberimage/data")


def test_the_dashboard_asks_for_figures_that_there_are(tmp_path: Path) -> None:
    services = build_services(Settings.from_environment({"CYBERIMAGE_DATA": str(tmp_path / "data")}))
    services.spool.prepare()
    Maintenance(services).tick()
    registry = CollectorRegistry()
    registry.register(metrics_resource._Figures(services))
    known = set(re.findall(r"^# TYPE (\w+) ", generate_latest(registry).decode(), re.MULTILINE))
    text = (DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8")
    panels = json.loads(text)["panels"]
    queries = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    asked = {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"cyberimage_\w+", queries)}
    assert asked
    assert asked <= known, f"not served: {asked - known}"
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize("name", ["cyberimage-web.service", "cyberimage-runner.service"])
def test_systemd_understands_the_units(name: str, tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
    # The programs are not installed where the unit will find them.
    unit = tmp_path / name
    unit.write_text(re.sub(r"/opt/cyberimage/\.venv/bin/\w+", "/bin/true", text), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    about_this = [line for line in done.stderr.splitlines() if name in line]
    assert not about_this, about_this


def instructions() -> list[str]:
    """The instructions of the Containerfile, each in one line, without comments."""
    text = (REPOSITORY / "Containerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [line for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines() if line]


def stage(name: str) -> list[str]:
    """The instructions of one image; those of the stage that it begins with come first."""
    found: list[str] = []
    inside = False
    for line in instructions():
        if match := re.fullmatch(r"FROM (\S+) AS (\w+)", line):
            inside = match[2] in (name, "base")
        elif inside:
            found.append(line)
    return found


@pytest.mark.parametrize("image", ["api", "runner"])
def test_an_image_runs_as_a_user_that_is_a_number(image: str) -> None:
    """Kubernetes cannot tell of a name that it is not root (runAsNonRoot)."""
    users = [line.removeprefix("USER ") for line in stage(image) if line.startswith("USER ")]
    assert len(users) == 1
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[0])


def test_the_project_names_its_licence_and_its_types() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert (project["project"]["license"], project["project"]["license-files"]) == ("Apache-2.0", ["LICENSE"])
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["*"]
    for package in project["tool"]["importlinter"]["root_packages"]:
        assert (REPOSITORY / package / "py.typed").is_file(), package


def test_docker_and_podman_send_the_same_files() -> None:
    """Docker does not know .containerignore; all that the images copy must be let through."""
    text = (REPOSITORY / ".containerignore").read_text(encoding="utf-8")
    assert (REPOSITORY / ".dockerignore").read_text(encoding="utf-8") == text
    lines = text.splitlines()
    assert lines[0] == "**"
    for line in {*stage("api"), *stage("runner")}:
        for source in line.split()[1:-1] if line.startswith("COPY ") else ():
            assert any(f"{source}/".startswith(f"{let.removeprefix('!')}/") for let in lines if let[0] == "!"), source
            assert (REPOSITORY / source).exists(), source


@pytest.mark.parametrize("image", ["api", "runner"])
def test_a_changed_source_does_not_fetch_the_packages_again(image: str) -> None:
    lines = stage(image)
    sources = [
        number for number, line in enumerate(lines) if re.match(r"COPY (?!pyproject.toml constraints.txt)", line)
    ]
    fetching = [number for number, line in enumerate(lines) if "apt-get" in line or "--requirement" in line]
    assert fetching
    assert max(fetching) < min(sources)
    after = [line for line in lines[min(sources) :] if line.startswith("RUN ")]
    assert after == ["RUN pip install --no-deps --no-build-isolation ."]


def test_the_images_install_what_the_project_needs(tmp_path: Path) -> None:
    """The very command of the Containerfile that lists it."""
    line = next(line for line in stage("base") if "tomllib" in line).removeprefix("RUN ").partition(" && ")[0]
    command = line.replace("'/tmp/", f"'{tmp_path}/").replace("python -c", f"{sys.executable} -c")
    subprocess.run(["sh", "-c", command], check=True, cwd=REPOSITORY)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    base = project["build-system"]["requires"] + project["project"]["dependencies"]
    assert (tmp_path / "base.txt").read_text(encoding="utf-8").splitlines() == base
    extra = project["project"]["optional-dependencies"]["runner"]
    assert (tmp_path / "runner.txt").read_text(encoding="utf-8").splitlines() == extra


def test_the_image_of_the_runner_can_compile_models() -> None:
    """What loading.py asks for; the headers of the C library are only recommended by Debian's gcc."""
    installed = " ".join(line for line in stage("runner") if line.startswith("RUN apt-get"))
    assert {"gcc", "libc6-dev"} <= set(installed.split())
    assert not [line for line in stage("api") if "gcc" in line]


def test_any_user_of_group_0_may_use_the_folders_of_the_images(tmp_path: Path) -> None:
    """The very commands of the Containerfile, for folders of the test."""
    line = next(line for line in stage("base") if line.startswith("RUN useradd"))
    commands = line.partition("&&")[2].replace("/data", f"{tmp_path}/data").replace("/models", f"{tmp_path}/models")
    if os.geteuid() != 0:
        commands = commands.replace(" chown ", " true ")
    subprocess.run(["sh", "-c", commands], check=True)
    for name, others in (("data", 0), ("models", 5)):
        status = (tmp_path / name).stat()
        assert (status.st_mode & 0o777, status.st_gid) == (0o770 | others, 0 if os.geteuid() == 0 else status.st_gid)
    assert (tmp_path / "data" / ".cyberimage").stat().st_mode & 0o777 == 0o660


def test_the_documented_pulls_go_where_the_units_look() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    commands = re.sub(r"\\\n\s*", "", text)
    systemd, podman, compose = (line for line in commands.splitlines() if " pull flux-1" in line)
    (looks,) = re.findall(r"^CYBERIMAGE_MODELS=(.*)$", example(), re.MULTILINE)
    assert f" CYBERIMAGE_MODELS={looks} " in systemd
    assert "sudo -u cyberimage " in systemd  # as the unit has it
    unit = (DEPLOY / "quadlet" / "cyberimage-runner.container").read_text(encoding="utf-8")
    (mounted,) = re.findall(r"^Volume=(\S+):/models:", unit, re.MULTILINE)
    assert f" -v {mounted}:/models:" in podman
    assert f" {mounted} " in next(line for line in commands.splitlines() if line.startswith("install -d "))
    assert any("CYBERIMAGE_MODELS=/models" in line for line in stage("base"))
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert " run --rm models pull flux-1" in compose
    assert services["models"]["volumes"] == ["models:/models"]
    assert "models:/models:ro" in services["runner"]["volumes"]
    assert "make models" not in text


def as_the_generator_reads(value: str) -> str:
    """What Podman's Quadlet generator makes of a value: it takes away quotes that begin or end the line."""
    return value.strip().strip("\"'")


def test_health_commands_survive_the_generator_of_podman() -> None:
    lines = [
        value
        for unit in (DEPLOY / "quadlet").glob("*.container")
        for value in re.findall(r"^HealthCmd=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert lines
    for value in lines:
        assert not set(value) & set("\"'\\`$"), value
        assert as_the_generator_reads(value) == value
        command = shlex.split(value)
        assert command[:2] == ["python", "-m"]
        assert find_spec(command[2]) is not None


def write_example() -> None:
    """Make the example again."""
    (DEPLOY / "example.env").write_text(example(), encoding="utf-8")


if __name__ == "__main__":
    write_example()
