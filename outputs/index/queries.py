"""The tables of the image index, and what is asked of them. Every function takes a connection."""

from __future__ import annotations

import sqlite3
from datetime import date
from typing import Final

from core.derived_index import FOLDERS
from core.sqlite_index import cached_until_write, sticky_cache
from outputs.index.search_text import TRIGRAM, exactly, phrase

VERSION: Final = 3
_DAY_MS: Final = 86_400_000
#: A row's number: milliseconds, 12 bits of sub-millisecond, 6 random bits, 3 bits of image number.
_MS_SHIFT: Final = 21
_MS_BITS: Final = 42
COMPLETE: Final = 2**63 - 1
#: Rows and pages of one step of filling, which holds up other writers for some 50 ms.
_STEP_ROWS: Final = 1000
_STEP_PAGES: Final = 500
#: FTS5 supports at most 2,000 segments.
_MOST_SEGMENTS: Final = 1500
#: When FTS5 merges segments by itself: hardly, and FTS5's own defaults.
_WHILE_FILLING: Final = {"automerge": 0, "crisismerge": 1900, "hashsize": 16 << 20}
_AFTERWARDS: Final = {"automerge": 4, "crisismerge": 16, "hashsize": 1 << 20}
_EPOCH: Final = date(1970, 1, 1)
#: Changes that are kept for totals that were counted before them.
_KEPT_CHANGES: Final = 1000

#: `change`: the texts that came (1) and went (-1) recently, in order.
#: `filled`: the full-text index has every row up to this number; the rest is searched row by row.
TABLES: Final = f"""
CREATE TABLE image (k INTEGER PRIMARY KEY, ord BLOB NOT NULL, model TEXT NOT NULL);
CREATE TABLE body (k INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE day (day INTEGER, model TEXT, n INTEGER NOT NULL, PRIMARY KEY (day, model)) WITHOUT ROWID;
{FOLDERS}
CREATE TABLE change (n INTEGER PRIMARY KEY, sign INTEGER NOT NULL, text TEXT NOT NULL);
CREATE TABLE progress (filled INTEGER NOT NULL);
INSERT INTO progress VALUES ({COMPLETE});
CREATE VIRTUAL TABLE fts USING fts5
    (text, content = 'body', content_rowid = 'k', tokenize = 'trigram case_sensitive 1', columnsize = 0);
"""
_DAY: Final = f"(k >> {_MS_SHIFT}) / {_DAY_MS}"
#: Made after a bulk load. The counters and the full-text index follow every change of a row.
FOLLOWERS: Final = f"""
CREATE INDEX by_model ON image (model);
INSERT INTO day SELECT {_DAY}, model, count(*) FROM image GROUP BY 1, 2;
CREATE TRIGGER image_inserted AFTER INSERT ON image BEGIN
    INSERT INTO day VALUES ((new.k >> {_MS_SHIFT}) / {_DAY_MS}, new.model, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER image_deleted AFTER DELETE ON image BEGIN
    UPDATE day SET n = n - 1 WHERE day = (old.k >> {_MS_SHIFT}) / {_DAY_MS} AND model = old.model;
    DELETE FROM day WHERE day = (old.k >> {_MS_SHIFT}) / {_DAY_MS} AND model = old.model AND n = 0;
    DELETE FROM body WHERE k = old.k;
END;
CREATE TRIGGER body_in AFTER INSERT ON body WHEN new.k <= (SELECT filled FROM progress) BEGIN
    INSERT INTO fts (rowid, text) VALUES (new.k, new.text);
END;
CREATE TRIGGER body_out AFTER DELETE ON body WHEN old.k <= (SELECT filled FROM progress) BEGIN
    INSERT INTO fts (fts, rowid, text) VALUES ('delete', old.k, old.text);
END;
CREATE TRIGGER body_inserted AFTER INSERT ON body BEGIN INSERT INTO change (sign, text) VALUES (1, new.text); END;
CREATE TRIGGER body_deleted AFTER DELETE ON body BEGIN INSERT INTO change (sign, text) VALUES (-1, old.text); END;
CREATE TRIGGER change_old AFTER INSERT ON change BEGIN DELETE FROM change WHERE n <= new.n - {_KEPT_CHANGES}; END;
"""

Row = tuple[int, bytes, str, str]


def to_number(image_id: str) -> int:
    """The row of an image. Raises ValueError beyond the year 2109."""
    order = int(image_id[4:36], 16)
    milliseconds = order >> 80
    if milliseconds >> _MS_BITS:
        raise ValueError(f"{image_id} is dated beyond the calendar of the index")
    return milliseconds << _MS_SHIFT | (order >> 64 & 0xFFF) << 9 | (order & 0x3F) << 3 | int(image_id[37]) - 1


def to_image_id(number: int, order: bytes) -> str:
    """The image of a row."""
    return f"img_{order.hex()}_{(number & 7) + 1}"


def day_of(folder: str) -> int:
    """Days since the epoch; -1 where no calendar has the day, or ours ends before it (in the year 2109)."""
    try:
        day = (date.fromisoformat(folder.replace("/", "-")) - _EPOCH).days
    except ValueError:
        return -1
    return day if day >= 0 and (day + 1) * _DAY_MS < 1 << _MS_BITS else -1


def span(day: int) -> tuple[int, int]:
    """The numbers that a day's rows have: from the first to before the second."""
    return day * _DAY_MS << _MS_SHIFT, (day + 1) * _DAY_MS << _MS_SHIFT


def filled(database: sqlite3.Connection) -> int:
    """Up to which row the full-text index is complete."""
    return int(database.execute("SELECT filled FROM progress").fetchone()[0])


def begin_filling(database: sqlite3.Connection) -> None:
    """After a bulk load: the full-text index is empty, and `fill_some` fills it."""
    if database.execute("UPDATE progress SET filled = -1 WHERE EXISTS (SELECT 1 FROM body)").rowcount:
        _set_merging(database, _WHILE_FILLING)


def fill_some(database: sqlite3.Connection) -> bool:
    """Bring the full-text index a short step on; returns whether it is complete now.

    Each step adds a segment. They are merged once, in the end: half the work of merging as one goes, and a
    search in one segment takes half the time.
    """
    done = filled(database)
    if done == COMPLETE:
        return True
    amount = max(_STEP_ROWS, sum(n for _, n in days(database, None)) // _MOST_SEGMENTS)
    (last,) = database.execute(
        "SELECT max(k) FROM (SELECT k FROM body WHERE k > ? ORDER BY k LIMIT ?)", (done, amount)
    ).fetchone()
    if last is not None:
        query = "INSERT INTO fts (rowid, text) SELECT k, text FROM body WHERE k > ? AND k <= ? ORDER BY k"
        database.execute(query, (done, last))
        database.execute("UPDATE progress SET filled = ?", (last,))
        return False
    if _merge_some(database):
        return False
    _set_merging(database, _AFTERWARDS)
    database.execute("UPDATE progress SET filled = ?", (COMPLETE,))
    return True


def _merge_some(database: sqlite3.Connection) -> bool:
    """Merge segments of the full-text index for some milliseconds; whether there was anything to merge."""
    before = database.total_changes
    # Negative: towards one segment, whatever their sizes.
    database.execute("INSERT INTO fts (fts, rank) VALUES ('merge', ?)", (-_STEP_PAGES,))
    return database.total_changes - before > 1  # the statement itself counts as one change


def _set_merging(database: sqlite3.Connection, settings: dict[str, int]) -> None:
    database.executemany("INSERT INTO fts (fts, rank) VALUES (?, ?)", settings.items())


def days(database: sqlite3.Connection, model: str | None) -> list[tuple[int, int]]:
    """Days that have images, the newest first, with their number of images."""
    if model is None:
        return database.execute("SELECT day, sum(n) FROM day GROUP BY day ORDER BY day DESC").fetchall()
    return database.execute("SELECT day, n FROM day WHERE model = ? ORDER BY day DESC", (model,)).fetchall()


def newest(database: sqlite3.Connection, model: str | None, offset: int, limit: int) -> tuple[int, list[str]]:
    """How many images there are, and those from `offset` on, newest first."""
    amounts = cached_until_write(database, ("days", model), lambda: days(database, model))
    anchor = _anchor(database, amounts, model, offset)
    if anchor is None:
        return sum(n for _, n in amounts), []
    where, values = _where(model)
    query = f"SELECT k, ord FROM image WHERE {where} AND k <= ? ORDER BY k DESC LIMIT ?"
    rows = database.execute(query, (*values, anchor, limit))
    return sum(n for _, n in amounts), [to_image_id(number, order) for number, order in rows]


def _anchor(database: sqlite3.Connection, amounts: list[tuple[int, int]], model: str | None, offset: int) -> int | None:
    """The row at `offset`: first the day by its counts, then the row within the day, from the nearer end."""
    for day, amount in amounts:
        if offset < amount:
            return _row_within(database, day, amount, model, offset)
        offset -= amount
    return None


def _row_within(database: sqlite3.Connection, day: int, amount: int, model: str | None, offset: int) -> int | None:
    where, values = _where(model)
    direction, steps = ("DESC", offset) if offset <= amount // 2 else ("ASC", amount - 1 - offset)
    query = f"SELECT k FROM image WHERE {where} AND k >= ? AND k < ? ORDER BY k {direction} LIMIT 1 OFFSET ?"
    row = database.execute(query, (*values, *span(day), steps)).fetchone()
    return None if row is None else int(row[0])


def after(
    database: sqlite3.Connection, wanted: list[str], model: str | None, before: int, limit: int
) -> tuple[int, list[str]]:
    """How many images match, and the newest of them with a row before this one. Within one transaction."""
    if not wanted:
        amounts = cached_until_write(database, ("days", model), lambda: days(database, model))
        where, values = _where(model)
        query = f"SELECT k, ord FROM image WHERE {where} AND k < ? ORDER BY k DESC LIMIT ?"
        rows = database.execute(query, (*values, before, limit))
        return sum(n for _, n in amounts), [to_image_id(number, order) for number, order in rows]
    needles = wanted if model is None else [*wanted, exactly(model)]
    source, texts = _search(needles, complete=filled(database) == COMPLETE)
    query = f"SELECT k FROM (SELECT k FROM {source}) WHERE k < ? ORDER BY k DESC LIMIT ?"
    numbers = [k for (k,) in database.execute(query, (*texts, before, limit))]
    return _total(database, needles, source, texts), _image_ids(database, numbers)


def _image_ids(database: sqlite3.Connection, numbers: list[int]) -> list[str]:
    """The images of these rows."""
    orders = (database.execute("SELECT ord FROM image WHERE k = ?", (k,)).fetchone() for k in numbers)
    return [to_image_id(number, order) for number, (order,) in zip(numbers, orders, strict=True)]


def _where(model: str | None) -> tuple[str, tuple[str, ...]]:
    return ("1", ()) if model is None else ("model = ?", (model,))


def matching(
    database: sqlite3.Connection, wanted: list[str], model: str | None, offset: int, limit: int
) -> tuple[int, list[str]]:
    """How many images match all words, and those from `offset` on, newest first. Within one transaction."""
    needles = wanted if model is None else [*wanted, exactly(model)]
    source, values = _search(needles, complete=filled(database) == COMPLETE)
    total = _total(database, needles, source, values)
    if offset >= total:
        return total, []
    size = min(limit, total - offset)
    backwards = offset > total // 2
    direction, steps = ("ASC", total - offset - size) if backwards else ("DESC", offset)
    query = f"SELECT k FROM {source} ORDER BY k {direction} LIMIT ? OFFSET ?"
    numbers = sorted((k for (k,) in database.execute(query, (*values, size, steps))), reverse=True)
    return total, _image_ids(database, numbers)


def _total(database: sqlite3.Connection, needles: list[str], source: str, values: tuple[str, ...]) -> int:
    """How many images match: counted once, then kept up with what inserts and deletes since."""
    known = sticky_cache(database)
    # Each by itself is one step down the tree; both in one SELECT would read the whole table.
    query = "SELECT ifnull((SELECT min(n) FROM change), 1), ifnull((SELECT max(n) FROM change), 0)"
    first, last = database.execute(query).fetchone()
    before, total = known.get(("total", *needles), (-1, 0))
    if before < first - 1:
        (total,) = database.execute(f"SELECT count(*) FROM {source}", values).fetchone()
    elif before < last:
        tests, texts = _tests(needles)
        query = f"SELECT ifnull(sum(sign), 0) FROM change WHERE n > ? AND {tests}"
        total += database.execute(query, (before, *texts)).fetchone()[0]
    known["total", *needles] = last, total
    return int(total)


def _search(needles: list[str], *, complete: bool) -> tuple[str, tuple[str, ...]]:
    """The rows that match, as a FROM clause with its values.

    The trigram index finds words of three letters and more; shorter ones are looked for in each text.
    """
    long = [needle for needle in needles if complete and len(needle) >= TRIGRAM]
    short = [needle for needle in needles if needle not in long]
    if not short:
        return "(SELECT rowid AS k FROM fts WHERE fts MATCH ?)", (" AND ".join(map(phrase, long)),)
    tests, texts = _tests(short)
    if not long:
        return f"body WHERE {tests}", texts
    matching = "(SELECT rowid AS k, text FROM fts WHERE fts MATCH ?)"
    return f"{matching} WHERE {tests}", (" AND ".join(map(phrase, long)), *texts)


def _tests(needles: list[str]) -> tuple[str, tuple[str, ...]]:
    """A condition that a text has all of these, with its values."""
    return " AND ".join("instr(text, ?)" for _ in needles), tuple(needles)
