"""Figures over all jobs, for monitoring: how many, how long they waited and ran, and why they failed."""

from __future__ import annotations

import sqlite3
from typing import Final

from msgspec import Struct

from jobs.index.queries import NUMBER, STATES
from jobs.schema import State

#: Upper bounds in seconds; the last, infinite one is not written.
BOUNDS: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0)


class Histogram(Struct, frozen=True, kw_only=True):
    """How many values were at most each of BOUNDS, how many there are, and their sum in seconds."""

    at_most: list[int]
    count: int
    total: float


class Figures(Struct, frozen=True, kw_only=True):
    """All keyed by model; they only grow as long as nobody removes old jobs."""

    jobs: dict[tuple[str, State], int]
    #: Acceptance to first start.
    waiting: dict[str, Histogram]
    #: First start to end, of completed jobs.
    running: dict[str, Histogram]
    #: By model and type of error.
    failures: dict[tuple[str, str], int]


def read_figures(database: sqlite3.Connection) -> Figures:
    """The figures of an index."""
    counts = database.execute("SELECT model, state, sum(n) FROM tally GROUP BY model, state")
    failures = database.execute("SELECT model, error, count(*) FROM job WHERE error IS NOT NULL GROUP BY model, error")
    return Figures(
        jobs={(model, STATES[number]): n for model, number, n in counts if n},
        waiting=_histograms(database, "waited", "waited IS NOT NULL"),
        running=_histograms(database, "seconds", f"seconds IS NOT NULL AND state = {NUMBER[State.COMPLETED]}"),
        failures={(model, error): n for model, error, n in failures},
    )


def _histograms(database: sqlite3.Connection, column: str, condition: str) -> dict[str, Histogram]:
    counted = ", ".join(f"count(*) FILTER (WHERE {column} <= {bound})" for bound in BOUNDS)
    query = f"SELECT model, count(*), total({column}), {counted} FROM job WHERE {condition} GROUP BY model"
    return {
        model: Histogram(at_most=list(at_most), count=count, total=total)
        for model, count, total, *at_most in database.execute(query)
    }
