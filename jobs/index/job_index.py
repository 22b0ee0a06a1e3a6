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
from jobs.schema import ACTIVE_STATES, FINAL_STATES, Job, JobError, State
from jobs.spool import Spool
from jobs.turns import AHEAD, between, just_before, key_of, limit_at, rank

logger = logging.getLogger(__name__)

#: The folder of the jobs that were moved, among those that are compared.
TURNS: Final = "turns"


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
                database.execute(PUT, self._row(job.id, job, state))

    def job_moving(self, job: Job, state: State) -> None:
        """Note that `job` is in `state`, just before its holder moves it there.

        Counts that are read after the job's file was seen in its new place include the move. A process that dies
        between the two leaves its job to a recovery or to `repair`, which both write what is true.
        """
        with _best_effort(job), self.file.write() as database:
            database.execute(PUT, self._row(job.id, job, state))

    def job_moved(self, job: Job, state: State) -> None:
        """Write again what `job_moving` wrote, if a repair that ran between the two found the old place."""
        with _best_effort(job):
            with self.file.read() as database:
                known = database.execute("SELECT * FROM job WHERE id = ?", (job.id,)).fetchone()
            if known == self._row(job.id, job, state):
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
        """How many pending jobs have their turns before this one (0 = next); raises IndexUnavailable."""
        key = self._spool.turns.of(job.id) or key_of(job.order)
        with self.file.read() as database:
            return queries.waiting_before(database, key, limit_at(time.time()))

    def active(self, limit: int) -> tuple[list[str], list[str]]:
        """The first jobs that run, and the first that wait, by their turns; raises IndexUnavailable."""
        with self.file.read() as database:
            waiting = queries.waiting(database, limit_at(time.time()), limit)
            return queries.running(database, limit), [job_id for job_id, _ in waiting]

    def ended_since(self, order: str) -> list[str]:
        """The jobs with later orders that have ended; raises IndexUnavailable."""
        query = (
            f"SELECT id FROM job WHERE state IN ({', '.join(str(NUMBER[state]) for state in FINAL_STATES)}) AND ord > ?"
        )
        with self.file.read() as database:
            return [job_id for (job_id,) in database.execute(query, (_key(order),))]

    def waiting_by_model(self) -> dict[str, int]:
        """How many jobs of each model are pending; raises IndexUnavailable."""
        with self.file.read() as database:
            return cached_until_write(database, "waiting by model", lambda: queries.waiting_by_model(database))

    def key_before(self, job: Job | None, moved: str) -> str | None:
        """The key with which a job gets its turn just before another one that waits, or before all where that is None.

        None where no other job waits. Raises IndexUnavailable.
        """
        limit = limit_at(time.time())
        with self.file.read() as database:
            if job is None:
                first = [place for job_id, place in queries.waiting(database, limit, 2) if job_id != moved]
                return _before(first[0], None) if first else None
            place = rank(self._spool.turns.of(job.id) or key_of(job.order), limit)
            return _before(place, queries.last_before(database, place, limit, moved))

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
            database.executemany("INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._rows(state))
        run_script(database, COUNTERS)

    def folders(self) -> dict[str, int]:
        """The states' directories, and that of the jobs that were moved."""
        paths = {state.value: self._spool.layout.state(state) for state in STATES}
        paths[TURNS] = str(self._spool.layout.turns)
        return {name: os.stat(path).st_ctime_ns for name, path in paths.items()}

    def names(self, folder: str) -> Iterator[str]:
        """The jobs in a state's directory; of those that were moved and have not ended, `<id>.<key>`."""
        if folder != TURNS:
            return self._spool.ids(State(folder))
        moved = self._spool.turns.all().items()
        return (
            f"{job_id}.{key}" for job_id, key in moved if any(self._spool.holds(at, job_id) for at in ACTIVE_STATES)
        )

    def known_names(self, database: sqlite3.Connection, folder: str) -> set[str]:
        """The jobs that the index has in a state, or moved: as `names` has them."""
        if folder == TURNS:
            moved = database.execute("SELECT id, turn FROM job WHERE turn <> lower(hex(ord))")
            return {f"{job_id}.{key}" for job_id, key in moved}
        rows = database.execute("SELECT id FROM job WHERE state = ?", (NUMBER[State(folder)],))
        return {job_id for (job_id,) in rows}

    def known_sizes(self, database: sqlite3.Connection) -> dict[str, int]:
        """Jobs per state."""
        return {STATES[number]: n for number, n in database.execute("SELECT state, n FROM total")}

    def correct(self, database: sqlite3.Connection, name: str) -> None:
        """Write the state that a job is in now, and its turn."""
        job_id = name.partition(".")[0]
        row = self._present_row(job_id)
        if row is None:
            database.execute("DELETE FROM job WHERE id = ?", (job_id,))
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
            return self._row(job_id, facts, state)
        return None

    def _row(self, job_id: str, job: Job | _Facts, state: State) -> Row:
        key = _key(job.order)
        bucket = int.from_bytes(key[:6], "big") // BUCKET_MS
        error = job.error.type if job.error and state is State.FAILED else None
        turn = None if state.is_final else self._spool.turns.of(job_id) or key.hex()
        return job_id, key, NUMBER[state], job.model_id, bucket, job.duration_seconds, _waited(job, key), error, turn


@contextmanager
def _best_effort(job: Job) -> Iterator[None]:
    """Log what keeps a job from being noted in the index."""
    try:
        yield
    except IndexUnavailable as error:
        logger.debug("Job %s is not in the index yet: %s", job.id, error)
    except (OSError, ValueError) as error:
        logger.warning("Job %s could not be indexed: %s", job.id, error)


def _before(place: str, previous: str | None) -> str:
    """A key between a rank and the one before it, if there is any alike; both are ahead of the clock or neither is."""
    band = AHEAD if place.startswith(AHEAD) else ""
    key = place.removeprefix(AHEAD)
    return band + (just_before(key) if previous is None else between(previous.removeprefix(AHEAD), key))


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
