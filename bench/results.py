"""What the bench finds: rows with figure, goal and verdict, as a table for people and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure. `goal` is a sentence; `met` is None where there is no goal (information only)."""

    number: str
    what: str
    figure: str
    goal: str = ""
    limit: str = ""
    met: bool | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The verdict in a word."""
        return {True: "met", False: "MISSED", None: ""}[self.met]


def at_most(number: str, what: str, value: float, goal: float, unit: str, limit: str = "", **details: Any) -> Row:
    """A row whose figure must not be larger than its goal."""
    return Row(
        number=number,
        what=what,
        figure=f"{value:.3g} {unit}",
        goal=f"<= {goal:g} {unit}",
        limit=limit,
        met=value <= goal,
        details=details,
    )


def at_least(number: str, what: str, value: float, goal: float, unit: str, limit: str = "", **details: Any) -> Row:
    """A row whose figure must not be smaller than its goal."""
    return Row(
        number=number,
        what=what,
        figure=f"{value:.3g} {unit}",
        goal=f">= {goal:g} {unit}",
        limit=limit,
        met=value >= goal,
        details=details,
    )


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| # | what | figure | goal | limit | verdict |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [f"| {r.number} | {r.what} | {r.figure} | {r.goal} | {r.limit} | {r.verdict} |" for r in rows]
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """Where and with what the figures were taken."""
    packages = ("falcon", "gunicorn", "gevent", "msgspec", "filelock", "watchdog", "huey")
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _commit(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: version(name) for name in packages},
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def write_json(path: Path, rows: list[Row], about: dict[str, Any]) -> None:
    """All figures with their details."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = [{**asdict(row), "verdict": row.verdict} for row in rows]
    path.write_text(json.dumps({"machine": about, "rows": found}, indent=2) + "\n", encoding="utf-8")
