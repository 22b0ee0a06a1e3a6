"""huey's queues, for comparison: the same number of small jobs through SqliteHuey and FileHuey."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import huey


def rates(name: str, folder: Path, *, depth: int, amount: int) -> tuple[float, float]:
    """Jobs put and taken per second while `depth` others wait."""
    storage = _open(name, folder).storage
    payload = b'{"prompt": "a castle on a hill"}' * 10
    for _ in range(depth):
        storage.enqueue(payload)
    began = time.perf_counter()
    for _ in range(amount):
        storage.enqueue(payload)
    between = time.perf_counter()
    for _ in range(amount):
        if storage.dequeue() is None:
            raise RuntimeError(f"{name} lost a job")
    return amount / (between - began), amount / (time.perf_counter() - between)


def _open(name: str, folder: Path) -> Any:
    if name == "SqliteHuey":
        return huey.SqliteHuey("bench", filename=str(folder / "huey.db"), fsync=True)
    return huey.FileHuey("bench", path=str(folder / "huey"))
