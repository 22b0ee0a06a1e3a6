"""The derived index of jobs: counts, statistics, positions and listings at a cost that does not grow.

The files of the spool are the truth. Whoever changes a job's state writes it here afterwards, and
`repair` compares with the directories for whatever was missed or done by hand.
"""

from __future__ import annotations

import heapq
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from jobs import files
from jobs.errors import CorruptJob, IndexUnavailable, InvalidRequest, JobNotFound
from jobs.ids import is_order
from jobs.schema import Job, State
from jobs.spool import Spool
from jobs.sqlite_index import IndexFile, run_script

logger = logging.getLogger(__name__)

VERSION: Final = 1
DAY_SECONDS: Final = 86400
#: Statistics are kept per ten minutes of acceptance; the rest of the window is counted exactly.
_BUCKET_MS: Final = 600_000
#: Entries put right in one transaction; others wait for it, so it must take milliseconds.
_BATCH: Final = 100
#: A directory changed so recently may change again within the clock tick of the file system.
_SETTLED_NS: Final = 100_000_000

_STATES: Final = tuple(State)
_NUMBER: Final = {state: number for number, state in enumerate(_STATES)}
_ORDER_OF_LIFE: Final = (State.PENDING, State.PROCESSING, State.COMPLETED, State.FAILED, State.CANCELLED)

_TABLES: Final = """
CREATE TABLE job (
    id TEXT PRIMARY KEY, ord BLOB NOT NULL, state INTEGER NOT NULL, model TEXT NOT NULL,
    bucket INTEGER NOT NULL, seconds REAL
) WITHOUT ROWID;
CREATE TABLE total (state INTEGER PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE tally (
    bucket INTEGER, model TEXT, state INTEGER, n INTEGER NOT NULL, timed INTEGER NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (bucket, model, state)
) WITHOUT ROWID;
CREATE TABLE folder (name TEXT PRIMARY KEY, changed INTEGER NOT NULL) WITHOUT ROWID;
"""
_COUNT_IN: Final = """
    INSERT INTO total VALUES (new.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
    INSERT INTO tally VALUES (new.bucket, new.model, new.state, 1, new.seconds IS NOT NULL, ifnull(new.seconds, 0))
        ON CONFLICT DO UPDATE SET n = n + 1, timed = timed + excluded.timed, seconds = seconds + excluded.seconds;
"""
_COUNT_OUT: Final = """
    UPDATE total SET n = n - 1 WHERE state = old.state;
    UPDATE tally SET n = n - 1, timed = timed - (old.seconds IS NOT NULL), seconds = seconds - ifnull(old.seconds, 0)
        WHERE bucket = old.bucket AND model = old.model AND state = old.state;
"""
#: Made after a bulk load. The counters follow every change of a row, whoever makes it.
_COUNTERS: Final = f"""
CREATE INDEX by_state ON job (state, ord);
CREATE INDEX by_model ON job (model, state, ord);
INSERT INTO total SELECT state, count(*) FROM job GROUP BY state;
INSERT INTO tally SELECT bucket, model, state, count(*), count(seconds), total(seconds) FROM job GROUP BY 1, 2, 3;
CREATE TRIGGER job_in AFTER INSERT ON job BEGIN {_COUNT_IN} END;
CREATE TRIGGER job_out AFTER DELETE ON job BEGIN {_COUNT_OUT} END;
CREATE TRIGGER job_moved AFTER UPDATE ON job BEGIN {_COUNT_OUT} {_COUNT_IN} END;
"""
_PUT: Final = """
INSERT INTO job VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET ord = excluded.ord, state = excluded.state,
    model = excluded.model, bucket = excluded.bucket, seconds = excluded.seconds
"""

_Row = tuple[str, bytes, int, str, int, float | None]


class Counts(Struct, frozen=True, kw_only=True):
    """How many jobs are in each state, as the API shows it: cancelled jobs count as failed."""

    pending: int
    processing: int
    completed: int
    failed: int
    total: int


class Statistics(Struct, frozen=True, kw_only=True):
    """The jobs accepted within the last 24 hours, in the states they are in now."""

    recent_24h: Counts
    #: Mean time from first start to end of the completed ones; 0 if there are none.
    avg_processing_time_seconds: float
    models: dict[str, Counts]
    #: Percent of the finished ones that failed, with two decimals; 0 if none is finished.
    failure_rate: float


class JobPage(Struct, frozen=True, kw_only=True):
    """Some jobs, newest first, and the cursor of the next page (None on the last one)."""

    jobs: list[tuple[State, Job]]
    next_cursor: str | None


class _Facts(Struct):
    """What the index needs of a job's file."""

    order: str
    model_id: str
    duration_seconds: float | None = None


class JobIndex:
    """The index of the jobs of one spool, in the SQLite file `path`. An Observer of the spool.

    Reading raises IndexUnavailable while there is no index; `repair` makes one.
    """

    def __init__(self, path: Path, spool: Spool) -> None:
        self._file = IndexFile(path, VERSION)
        self._spool = spool
        self._lock_path = Path(f"{path}.lock")

    # --- Observer ---------------------------------------------------------------------------

    def job_changed(self, job: Job, state: State) -> None:
        """Note that `job` is in `state`; never raises, since `repair` finds what is missed."""
        try:
            row = _row(job.id, job, state)
            with self._file.write() as database:
                # Looked at under the write lock: if the job has moved on, its mover writes after us.
                if self._spool.path(state, job.id).exists():
                    database.execute(_PUT, row)
        except IndexUnavailable as error:
            logger.debug("Job %s is not in the index yet: %s", job.id, error)
        except (OSError, ValueError) as error:
            logger.warning("Job %s could not be indexed: %s", job.id, error)

    # --- Reading ----------------------------------------------------------------------------

    def counts(self) -> Counts:
        """How many jobs there are; raises IndexUnavailable."""
        with self._file.read() as database:
            return _counts(database.execute("SELECT state, n FROM total"))

    def statistics(self, now: float | None = None) -> Statistics:
        """The last 24 hours before `now` (seconds since the epoch); raises IndexUnavailable."""
        start = int(((time.time() if now is None else now) - DAY_SECONDS) * 1000)
        with self._file.read() as database:
            database.execute("BEGIN")
            rows = [*_whole_buckets(database, start), *_partial_bucket(database, start)]
            database.execute("COMMIT")
        return _statistics(rows)

    def position(self, job: Job) -> int:
        """How many pending jobs are before this one (0 = next); raises IndexUnavailable."""
        with self._file.read() as database:
            query = "SELECT count(*) FROM job WHERE state = ? AND ord < ?"
            (before,) = database.execute(query, (_NUMBER[State.PENDING], _key(job.order))).fetchone()
        return int(before)

    def mean_duration(self, model: str, sample: int = 20) -> float | None:
        """Mean seconds of the model's latest completed jobs; None if there are none. Raises IndexUnavailable."""
        query = """SELECT avg(seconds) FROM
            (SELECT seconds FROM job WHERE model = ? AND state = ? ORDER BY ord DESC LIMIT ?)"""
        with self._file.read() as database:
            (mean,) = database.execute(query, (model, _NUMBER[State.COMPLETED], sample)).fetchone()
        return None if mean is None else float(mean)

    def page(
        self, *, states: Sequence[State] = _STATES, model: str | None = None, limit: int = 20, cursor: str | None = None
    ) -> JobPage:
        """Jobs in any of `states`, newest first, after `cursor`.

        Raises InvalidRequest for a cursor that no page gave, and IndexUnavailable.
        """
        before = _parse_cursor(cursor)
        with self._file.read() as database:
            parts = [_newest(database, state, model, before, limit + 1) for state in states]
        found = heapq.nlargest(limit + 1, (row for part in parts for row in part))
        more = len(found) > limit
        jobs = list(self._existing(job_id for _, job_id in found[:limit]))
        return JobPage(jobs=jobs, next_cursor=_cursor(*found[limit - 1]) if more else None)

    def _existing(self, job_ids: Iterable[str]) -> Iterator[tuple[State, Job]]:
        for job_id in job_ids:
            with suppress(JobNotFound, CorruptJob):
                yield self._spool.find(job_id)

    # --- Repair -----------------------------------------------------------------------------

    def needs_repair(self) -> bool:
        """Whether the index is missing or a state's directory changed since it was last compared; costs six stats."""
        if self._file.must_rebuild():
            return True
        try:
            return bool(self._changed_states())
        except IndexUnavailable:
            return False

    def size_of_repair(self) -> int:
        """About how many names a repair would have to read."""
        try:
            changed = self._changed_states()
            with self._file.read() as database:
                known = dict(database.execute("SELECT state, n FROM total").fetchall())
        except IndexUnavailable:
            return sum(1 for state in _STATES for _ in self._spool.ids(state))
        return sum(known.get(_NUMBER[state], 0) for state in changed)

    def repair(self) -> int:
        """Make the index equal to the directories; answers how many entries were wrong.

        Builds the index where it is missing or broken. Does nothing while another process repairs.
        Raises IndexUnavailable where the index cannot be written now, OSError where the spool cannot be read.
        """
        lock = files.ExclusiveLock(self._lock_path)
        if not lock.acquire():
            return 0
        try:
            if self._file.must_rebuild():
                self._rebuild()
            return self._compare()
        finally:
            lock.release()

    def rebuild(self) -> None:
        """Build the index anew, whatever state it is in; waits for another repair to end. Raises as `repair`."""
        lock = files.ExclusiveLock(self._lock_path)
        lock.acquire(timeout=-1)
        try:
            self._rebuild()
            self._compare()
        finally:
            lock.release()

    def checkpoint(self) -> None:
        """Keep the log of the database short; raises IndexUnavailable."""
        self._file.checkpoint()

    def _rebuild(self) -> None:
        try:
            self._file.publish(self._fill)
        except sqlite3.Error as error:
            raise IndexUnavailable(f"The index could not be built: {error}.") from error

    def _fill(self, database: sqlite3.Connection) -> None:
        run_script(database, _TABLES)
        for state in _ORDER_OF_LIFE:  # a job that moves meanwhile is met again, and the later state stays
            database.executemany("INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?, ?, ?)", self._rows(state))
        run_script(database, _COUNTERS)

    def _rows(self, state: State) -> Iterator[_Row]:
        for job_id in self._spool.ids(state):
            row = self._read_row(state, job_id)
            if row is not None:
                yield row

    def _read_row(self, state: State, job_id: str) -> _Row | None:
        """The entry of the job in this state; None if it is gone or cannot be read."""
        path = self._spool.path(state, job_id)
        with suppress(OSError, ValueError, msgspec.DecodeError):
            return _row(job_id, msgspec.json.decode(files.read(path), type=_Facts), state)
        return None

    def _changed_states(self) -> dict[State, int]:
        """States whose directory changed since the last comparison, with the time of the change (ns)."""
        with self._file.read() as database:
            known = dict(database.execute("SELECT name, changed FROM folder").fetchall())
        changes = {state: os.stat(self._spool.root / state).st_ctime_ns for state in _STATES}
        return {state: changed for state, changed in changes.items() if known.get(state) != changed}

    def _compare(self) -> int:
        changed = self._changed_states()
        settled = time.time_ns() - _SETTLED_NS
        wrong = sorted({job_id for state in changed for job_id in self._differences(state)})
        for start in range(0, len(wrong), _BATCH):
            self._correct(wrong[start : start + _BATCH])
        with self._file.write() as database:
            rows = [(state, moment) for state, moment in changed.items() if moment < settled]
            database.executemany("INSERT OR REPLACE INTO folder VALUES (?, ?)", rows)
        return len(wrong)

    def _differences(self, state: State) -> set[str]:
        """The ids that are only in the directory or only in the index."""
        present = set(self._spool.ids(state))
        with self._file.read() as database:
            rows = database.execute("SELECT id FROM job WHERE state = ?", (_NUMBER[state],))
            known = {job_id for (job_id,) in rows}
        return present ^ known

    def _correct(self, job_ids: Iterable[str]) -> None:
        """Write what the spool says now; under the write lock, so that a later change is written later."""
        with self._file.write() as database:
            for job_id in job_ids:
                row = self._present_row(job_id)
                if row is None:
                    database.execute("DELETE FROM job WHERE id = ?", (job_id,))
                else:
                    database.execute(_PUT, row)

    def _present_row(self, job_id: str) -> _Row | None:
        for state in (*_ORDER_OF_LIFE, *_ORDER_OF_LIFE):
            row = self._read_row(state, job_id)
            if row is not None:
                return row
        return None


def _row(job_id: str, job: Job | _Facts, state: State) -> _Row:
    key = _key(job.order)
    bucket = int.from_bytes(key[:6], "big") // _BUCKET_MS
    return job_id, key, _NUMBER[state], job.model_id, bucket, job.duration_seconds


def _key(order: str) -> bytes:
    if not is_order(order):
        raise ValueError(f"{order!r} is no order")
    return bytes.fromhex(order.replace("-", ""))


def _counts(rows: Iterable[tuple[int, int]]) -> Counts:
    by_state = dict.fromkeys(_STATES, 0)
    for number, amount in rows:
        by_state[_STATES[number]] += amount
    return Counts(
        pending=by_state[State.PENDING],
        processing=by_state[State.PROCESSING],
        completed=by_state[State.COMPLETED],
        failed=by_state[State.FAILED] + by_state[State.CANCELLED],
        total=sum(by_state.values()),
    )


_TallyRow = tuple[str, int, int, int, float]


def _whole_buckets(database: sqlite3.Connection, start: int) -> list[_TallyRow]:
    """The tallies of the buckets that lie wholly after `start` (ms)."""
    query = "SELECT model, state, sum(n), sum(timed), sum(seconds) FROM tally WHERE bucket > ? GROUP BY model, state"
    return database.execute(query, (start // _BUCKET_MS,)).fetchall()


def _partial_bucket(database: sqlite3.Connection, start: int) -> list[_TallyRow]:
    """The jobs accepted from `start` (ms) to the end of its bucket."""
    end = (start // _BUCKET_MS + 1) * _BUCKET_MS
    query = """SELECT model, state, count(*), count(seconds), total(seconds) FROM job
        WHERE state = ? AND ord >= ? AND ord < ? GROUP BY model"""
    span = (start.to_bytes(6, "big"), end.to_bytes(6, "big"))
    return [row for number in range(len(_STATES)) for row in database.execute(query, (number, *span))]


def _statistics(rows: list[_TallyRow]) -> Statistics:
    models = sorted({row[0] for row in rows if row[2]})
    recent = _counts((state, n) for _, state, n, _, _ in rows)
    done = [row for row in rows if row[1] == _NUMBER[State.COMPLETED]]
    timed = sum(row[3] for row in done)
    finished = recent.completed + recent.failed
    return Statistics(
        recent_24h=recent,
        avg_processing_time_seconds=round(sum(row[4] for row in done) / timed, 2) if timed else 0.0,
        models={name: _counts((state, n) for model, state, n, _, _ in rows if model == name) for name in models},
        failure_rate=round(100 * recent.failed / finished, 2) if finished else 0.0,
    )


_Place = tuple[bytes, str]


def _newest(
    database: sqlite3.Connection, state: State, model: str | None, before: _Place | None, limit: int
) -> list[_Place]:
    conditions, values = ["state = ?"], [_NUMBER[state]]
    parameters: list[object] = [*values]
    if model is not None:
        conditions.append("model = ?")
        parameters.append(model)
    if before is not None:
        conditions.append("(ord, id) < (?, ?)")
        parameters.extend(before)
    where = " AND ".join(conditions)
    query = f"SELECT ord, id FROM job WHERE {where} ORDER BY ord DESC, id DESC LIMIT ?"
    return database.execute(query, (*parameters, limit)).fetchall()


def _cursor(key: bytes, job_id: str) -> str:
    return f"{key.hex()}.{job_id}"


def _parse_cursor(cursor: str | None) -> _Place | None:
    if cursor is None:
        return None
    key, dot, job_id = cursor.partition(".")
    try:
        if dot and len(key) == 32:
            return bytes.fromhex(key), job_id
    except ValueError:
        pass
    raise InvalidRequest(f"cursor is {cursor!r}; give the next_cursor of the page before.", "cursor")
