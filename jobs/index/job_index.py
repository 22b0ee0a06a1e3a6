"""The derived index of jobs: counts, statistics, positions and listings at a cost that does not grow.

The files of the spool are the truth. Whoever moves a job writes its new state here just before, and
`repair` compares with the directories for whatever was missed or done by hand.
"""

from __future__ import annotations

import heapq
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from core import files
from core.derived_index import DerivedIndex
from core.errors import IndexUnavailable
from core.sqlite_index import cached_until_write, run_script
from jobs.errors import CorruptJob, JobNotFound
from jobs.ids import is_order
from jobs.index import queries
from jobs.index.figures import Figures, read_figures
from jobs.index.queries import (
    BUCKET_MS,
    COUNTERS,
    DAY_SECONDS,
    NUMBER,
    PUT,
    STATES,
    TABLES,
    VERSION,
    Counts,
    Row,
    Statistics,
)
from jobs.schema import Job, JobError, State
from jobs.spool import Spool

logger = logging.getLogger(__name__)


class JobPage(Struct, frozen=True, kw_only=True):
    """Some jobs, newest first, and the cursor of the next page (None on the last one)."""

    jobs: list[tuple[State, Job]]
    next_cursor: str | None


class _Facts(Struct):
    """What the index needs of a job's file."""

    order: str
    model_id: str
    duration_seconds: float | None = None
    started_at: str | None = None
    error: JobError | None = None


_decode_facts: Final = msgspec.json.Decoder(_Facts).decode


class JobIndex(DerivedIndex):
    """The index of the jobs of one spool. An Observer of the spool.

    Reading raises IndexUnavailable while there is no index; `repair` makes one.
    """

    def __init__(self, spool: Spool) -> None:
        super().__init__(spool.layout.job_index, VERSION)
        self._spool = spool

    # --- Observer: never raises, since `repair` finds what is missed --------------------------

    def job_changed(self, job: Job, state: State) -> None:
        """Note that `job` is in `state`."""
        with _best_effort(job), self.file.write() as database:
            # Looked at under the write lock: if the job has moved on, its mover writes after us.
            if self._spool.holds(state, job.id):
                database.execute(PUT, _row(job.id, job, state))

    def job_moving(self, job: Job, state: State) -> None:
        """Note that `job` is in `state`, just before its holder moves it there.

        Counts that are read after the job's file was seen in its new place include the move. A process that dies
        between the two leaves its job to a recovery or to `repair`, which both write what is true.
        """
        with _best_effort(job), self.file.write() as database:
            database.execute(PUT, _row(job.id, job, state))

    def job_moved(self, job: Job, state: State) -> None:
        """Write again what `job_moving` wrote, if a repair that ran between the two found the old place."""
        with _best_effort(job):
            with self.file.read() as database:
                known = database.execute("SELECT * FROM job WHERE id = ?", (job.id,)).fetchone()
            if known == _row(job.id, job, state):
                return
        self.job_changed(job, state)

    # --- Reading ----------------------------------------------------------------------------

    def counts(self) -> Counts:
        """How many jobs there are; raises IndexUnavailable."""
        with self.file.read() as database:
            return queries.to_counts(database.execute("SELECT state, n FROM total"))

    def statistics(self, now: float | None = None) -> Statistics:
        """The last 24 hours before `now` (seconds since the epoch); raises IndexUnavailable."""
        second = int((time.time() if now is None else now) - DAY_SECONDS)
        with self.file.read() as database:
            return cached_until_write(
                database, ("statistics", second), lambda: queries.statistics(database, second * 1000)
            )

    def position(self, job: Job) -> int:
        """How many pending jobs are before this one (0 = next); raises IndexUnavailable."""
        with self.file.read() as database:
            query = "SELECT count(*) FROM job WHERE state = ? AND ord < ?"
            (before,) = database.execute(query, (NUMBER[State.PENDING], _key(job.order))).fetchone()
        return int(before)

    def mean_duration(self, model: str, sample: int = 20) -> float | None:
        """Mean seconds of the model's latest completed jobs; None if there are none. Raises IndexUnavailable."""
        query = """SELECT avg(seconds) FROM
            (SELECT seconds FROM job WHERE model = ? AND state = ? ORDER BY ord DESC LIMIT ?)"""
        with self.file.read() as database:
            (mean,) = database.execute(query, (model, NUMBER[State.COMPLETED], sample)).fetchone()
        return None if mean is None else float(mean)

    def figures(self) -> Figures:
        """What is measured over all jobs; raises IndexUnavailable. Its cost grows with their number."""
        with self.file.read() as database:
            return read_figures(database)

    def page(
        self, *, states: Sequence[State] = STATES, model: str | None = None, limit: int = 20, cursor: str | None = None
    ) -> JobPage:
        """Jobs in any of `states`, newest first, after `cursor`.

        Raises InvalidRequest for a cursor that no page gave, and IndexUnavailable.
        """
        before = queries.parse_cursor(cursor)
        with self.file.read() as database:
            parts = [queries.newest(database, state, model, before, limit + 1) for state in states]
        found = heapq.nlargest(limit + 1, (row for part in parts for row in part))
        more = len(found) > limit
        jobs = list(self._existing(job_id for _, job_id in found[:limit]))
        return JobPage(jobs=jobs, next_cursor=queries.cursor(*found[limit - 1]) if more else None)

    def _existing(self, job_ids: Iterable[str]) -> Iterator[tuple[State, Job]]:
        for job_id in job_ids:
            with suppress(JobNotFound, CorruptJob):
                yield self._spool.find(job_id)

    # --- Repair: see DerivedIndex -----------------------------------------------------------

    def fill(self, database: sqlite3.Connection) -> None:
        """Load all jobs."""
        run_script(database, TABLES)
        for state in STATES:  # a job that moves meanwhile is met again, and the later state stays
            database.executemany("INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self._rows(state))
        run_script(database, COUNTERS)

    def folders(self) -> dict[str, int]:
        """The states' directories."""
        return {state: os.stat(self._spool.layout.state(state)).st_ctime_ns for state in STATES}

    def names(self, folder: str) -> Iterator[str]:
        """The jobs in a state's directory."""
        return self._spool.ids(State(folder))

    def known_names(self, database: sqlite3.Connection, folder: str) -> set[str]:
        """The jobs that the index has in a state."""
        rows = database.execute("SELECT id FROM job WHERE state = ?", (NUMBER[State(folder)],))
        return {job_id for (job_id,) in rows}

    def known_sizes(self, database: sqlite3.Connection) -> dict[str, int]:
        """Jobs per state."""
        return {STATES[number]: n for number, n in database.execute("SELECT state, n FROM total")}

    def correct(self, database: sqlite3.Connection, name: str) -> None:
        """Write the state that a job is in now."""
        row = self._present_row(name)
        if row is None:
            database.execute("DELETE FROM job WHERE id = ?", (name,))
        else:
            database.execute(PUT, row)

    def _rows(self, state: State) -> Iterator[Row]:
        for job_id in self._spool.ids(state):
            row = self._read_row(state, job_id)
            if row is not None:
                yield row

    def _present_row(self, job_id: str) -> Row | None:
        for state in (*STATES, *STATES):  # twice, as in Spool.find
            row = self._read_row(state, job_id)
            if row is not None:
                return row
        return None

    def _read_row(self, state: State, job_id: str) -> Row | None:
        """The entry of the job in this state; None if it is not there or cannot be read."""
        with suppress(OSError, ValueError, msgspec.DecodeError):
            facts = _decode_facts(files.read(self._spool.path(state, job_id)))
            return _row(job_id, facts, state)
        return None


@contextmanager
def _best_effort(job: Job) -> Iterator[None]:
    """Log what keeps a job from being noted in the index."""
    try:
        yield
    except IndexUnavailable as error:
        logger.debug("Job %s is not in the index yet: %s", job.id, error)
    except (OSError, ValueError) as error:
        logger.warning("Job %s could not be indexed: %s", job.id, error)


def _row(job_id: str, job: Job | _Facts, state: State) -> Row:
    key = _key(job.order)
    bucket = int.from_bytes(key[:6], "big") // BUCKET_MS
    error = job.error.type if job.error and state is State.FAILED else None
    return job_id, key, NUMBER[state], job.model_id, bucket, job.duration_seconds, _waited(job, key), error


def _waited(job: Job | _Facts, key: bytes) -> float | None:
    """Seconds from acceptance to the first start; None if it has not started."""
    if job.started_at is None:
        return None
    accepted = int.from_bytes(key[:6], "big") / 1000
    return max(0.0, datetime.fromisoformat(job.started_at).timestamp() - accepted)


def _key(order: str) -> bytes:
    if not is_order(order):
        raise ValueError(f"{order!r} is no order")
    return bytes.fromhex(order.replace("-", ""))
