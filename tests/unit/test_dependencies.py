"""What pyproject.toml declares is what an installation of the API alone has, as in its container."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.programs import REPOSITORY, without_coverage

#: All that both the API and its gunicorn worker import, by top-level names.
LOADED = """
import json, sys
import http_api.app, http_api.gunicorn_conf, http_api.server.worker, client.command_line
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def declared() -> set[str]:
    """The packages that an installation without extras gets: those of pyproject.toml and what they need in turn."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting = [Requirement(text) for text in project["dependencies"]]
    found: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        package = waiting.pop()
        name, extras = canonicalize_name(package.name), frozenset(package.extras)
        if (name, extras) not in found:
            found.add((name, extras))
            waiting += needs(name, extras)
    return {name for name, _ in found}


def needs(name: str, extras: frozenset[str]) -> list[Requirement]:
    """What a package needs itself, with these extras."""
    try:
        all_needs = [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:  # for another platform
        return []
    return [
        need
        for need in all_needs
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in (*extras, ""))
    ]


def test_the_api_imports_only_what_it_declares() -> None:
    command = [sys.executable, "-c", LOADED]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY, env=without_coverage())
    owners = packages_distributions()
    loaded = {canonicalize_name(owner) for name in json.loads(ran.stdout) for owner in owners.get(name, ())}
    ours_or_the_interpreters = {"cyberimage", "setuptools", "pip"}
    assert loaded - ours_or_the_interpreters <= declared()
