"""The tables of the job index, and what is asked of them. Every function takes a connection that reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from core.derived_index import FOLDERS
from core.errors import InvalidRequest
from jobs.schema import State
from jobs.turns import AHEAD, rank

VERSION: Final = 3
DAY_SECONDS: Final = 86400
#: Statistics are kept per ten minutes of acceptance; the rest of the window is counted exactly.
BUCKET_MS: Final = 600_000

#: In the order in which jobs move, see `jobs.spool`.
STATES: Final = tuple(State)
NUMBER: Final = {state: number for number, state in enumerate(STATES)}

#: `turn`: the key by which a job is sorted while it is active (`jobs.turns`).
TABLES: Final = f"""
CREATE TABLE job (
    id TEXT PRIMARY KEY, ord BLOB NOT NULL, state INTEGER NOT NULL, model TEXT NOT NULL,
    bucket INTEGER NOT NULL, seconds REAL, waited REAL, error TEXT, turn TEXT
) WITHOUT ROWID;
CREATE TABLE total (state INTEGER PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE tally (
    bucket INTEGER, model TEXT, state INTEGER, n INTEGER NOT NULL, timed INTEGER NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (bucket, model, state)
) WITHOUT ROWID;
{FOLDERS}
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
COUNTERS: Final = f"""
CREATE INDEX by_state ON job (state, ord);
CREATE INDEX by_model ON job (model, state, ord);
CREATE INDEX by_turn ON job (state, turn, model) WHERE turn IS NOT NULL;
INSERT INTO total SELECT state, count(*) FROM job GROUP BY state;
INSERT INTO tally SELECT bucket, model, state, count(*), count(seconds), total(seconds) FROM job GROUP BY 1, 2, 3;
CREATE TRIGGER job_in AFTER INSERT ON job BEGIN {_COUNT_IN} END;
CREATE TRIGGER job_out AFTER DELETE ON job BEGIN {_COUNT_OUT} END;
CREATE TRIGGER job_moved AFTER UPDATE ON job BEGIN {_COUNT_OUT} {_COUNT_IN} END;
"""
PUT: Final = """
INSERT INTO job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET ord = excluded.ord, state = excluded.state,
    model = excluded.model, bucket = excluded.bucket, seconds = excluded.seconds, waited = excluded.waited,
    error = excluded.error, turn = excluded.turn
"""

Row = tuple[str, bytes, int, str, int, float | None, float | None, str | None, str | None]


class Counts(Struct, frozen=True, kw_only=True):
    """How many jobs are in each state."""

    pending: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    total: int


class Statistics(Struct, frozen=True, kw_only=True):
    """The jobs accepted within the last 24 hours, in the states they are in now."""

    recent_24h: Counts
    #: Mean time from first start to end of the completed ones; 0 if there are none.
    avg_processing_time_seconds: float
    models: dict[str, Counts]
    #: Percent that failed of those that ended by themselves, with two decimals; 0 if none did.
    failure_rate: float


def to_counts(rows: Iterable[tuple[int, int]]) -> Counts:
    """Counts from pairs of state number and amount."""
    counts = dict.fromkeys((state.counted_as for state in STATES), 0)
    for number, amount in rows:
        counts[STATES[number].counted_as] += amount
    return Counts(**counts, total=sum(counts.values()))


TallyRow = tuple[str, int, int, int, float]


def statistics(database: sqlite3.Connection, start: int) -> Statistics:
    """Of the jobs accepted since `start` (ms since the epoch)."""
    database.execute("BEGIN")
    rows = [*whole_buckets(database, start), *partial_bucket(database, start)]
    database.execute("COMMIT")
    return to_statistics(rows)


def whole_buckets(database: sqlite3.Connection, start: int) -> list[TallyRow]:
    """The tallies of the buckets that lie wholly after `start` (ms)."""
    query = "SELECT model, state, sum(n), sum(timed), sum(seconds) FROM tally WHERE bucket > ? GROUP BY model, state"
    return database.execute(query, (start // BUCKET_MS,)).fetchall()


def partial_bucket(database: sqlite3.Connection, start: int) -> list[TallyRow]:
    """The jobs accepted from `start` (ms) to the end of its bucket."""
    end = (start // BUCKET_MS + 1) * BUCKET_MS
    query = """SELECT model, state, count(*), count(seconds), total(seconds) FROM job
        WHERE state = ? AND ord >= ? AND ord < ? GROUP BY model"""
    span = (start.to_bytes(6, "big"), end.to_bytes(6, "big"))
    return [row for number in range(len(STATES)) for row in database.execute(query, (number, *span))]


def to_statistics(rows: list[TallyRow]) -> Statistics:
    """Statistics from the tallies of a window."""
    models = sorted({row[0] for row in rows if row[2]})
    recent = to_counts((state, n) for _, state, n, _, _ in rows)
    done = [row for row in rows if row[1] == NUMBER[State.COMPLETED]]
    timed = sum(row[3] for row in done)
    finished = recent.completed + recent.failed
    return Statistics(
        recent_24h=recent,
        avg_processing_time_seconds=round(sum(row[4] for row in done) / timed, 2) if timed else 0.0,
        models={name: to_counts((state, n) for model, state, n, _, _ in rows if model == name) for name in models},
        failure_rate=round(100 * recent.failed / finished, 2) if finished else 0.0,
    )


Place = tuple[bytes, str]


def newest(
    database: sqlite3.Connection, state: State, model: str | None, before: Place | None, limit: int
) -> list[Place]:
    """The newest `limit` jobs of a state that come after the place `before`."""
    conditions, values = ["state = ?"], [NUMBER[state]]
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


def cursor(key: bytes, job_id: str) -> str:
    """The cursor that stands for a place."""
    return f"{key.hex()}.{job_id}"


def parse_cursor(cursor: str | None) -> Place | None:
    """The place that a cursor stands for; raises InvalidRequest."""
    if cursor is None:
        return None
    key, dot, job_id = cursor.partition(".")
    try:
        if dot and len(key) == 32:
            return bytes.fromhex(key), job_id
    except ValueError:
        pass
    raise InvalidRequest(f"cursor is {cursor!r}; give the next_cursor of the page before.", "cursor")


# --- Turns: `limit` is that of the clock, see `jobs.turns` -----------------------------------------

_WAITING: Final = f"state = {NUMBER[State.PENDING]} AND turn IS NOT NULL"


def waiting_before(database: sqlite3.Connection, key: str, limit: str) -> int:
    """How many pending jobs have their turns before a job with this key."""
    place = rank(key, limit)
    if place.startswith(AHEAD):
        conditions = {"turn < ?": (place,), "turn > ? AND turn < ?": (limit, place.removeprefix(AHEAD))}
    else:
        conditions = {"turn < ?": (key,), "turn > ?": (limit,)}
    counts = (
        database.execute(f"SELECT count(*) FROM job WHERE {_WAITING} AND {condition}", values).fetchone()[0]
        for condition, values in conditions.items()
    )
    return sum(counts)


def running(database: sqlite3.Connection, amount: int) -> list[str]:
    """Jobs that are processing, in the order in which they were accepted or moved."""
    where = f"state = {NUMBER[State.PROCESSING]} AND turn IS NOT NULL"
    rows = database.execute(f"SELECT id FROM job WHERE {where} ORDER BY turn LIMIT ?", (amount,))
    return [job_id for (job_id,) in rows]


def waiting(database: sqlite3.Connection, limit: str, amount: int) -> list[tuple[str, str]]:
    """The first pending jobs in the order of their turns, with their ranks."""
    query = f"SELECT turn, id FROM job WHERE {_WAITING} AND turn >= ? AND turn <= ? ORDER BY turn LIMIT ?"
    ends = ((AHEAD, "/"), (limit, "g"), ("0", limit))  # ahead of any clock; of this one; and the rest
    parts = (database.execute(query, (*end, amount)).fetchall() for end in ends)
    ranked = sorted((rank(key, limit), job_id) for part in parts for key, job_id in part)
    return [(job_id, place) for place, job_id in ranked[:amount]]


def last_before(database: sqlite3.Connection, place: str, limit: str, without: str) -> str | None:
    """The rank of the last pending job before this rank, other than `without`; None where there is none alike.

    Alike are jobs that are ahead of the clock, and those that are not.
    """
    query = f"SELECT max(turn) FROM job WHERE {_WAITING} AND turn >= ? AND turn < ? AND id <> ?"
    ends = [(AHEAD, place), (limit, place.removeprefix(AHEAD))] if place.startswith(AHEAD) else [("0", place)]
    keys = [database.execute(query, (*end, without)).fetchone()[0] for end in ends]
    return max((rank(key, limit) for key in keys if key is not None), default=None)


def waiting_by_model(database: sqlite3.Connection) -> dict[str, int]:
    """How many jobs of each model are pending."""
    query = f"SELECT model, count(*) FROM job WHERE {_WAITING} GROUP BY model"
    return dict(database.execute(query).fetchall())
