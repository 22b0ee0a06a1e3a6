"""The tables of the image index, and how its rows are written. Every function takes a connection that writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

from core.derived_index import FOLDERS

VERSION: Final = 4
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

#: `change`: the images that came (1), went (-1) or were changed (0) recently, in order, and their texts.
#: `filled`: the full-text index has every row up to this number; the rest is searched row by row.
TABLES: Final = f"""
CREATE TABLE image (k INTEGER PRIMARY KEY, ord BLOB NOT NULL, model TEXT NOT NULL, favourite INTEGER NOT NULL);
CREATE TABLE label (label TEXT, k INTEGER, PRIMARY KEY (label, k)) WITHOUT ROWID;
CREATE TABLE body (k INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE day (day INTEGER, model TEXT, n INTEGER NOT NULL, PRIMARY KEY (day, model)) WITHOUT ROWID;
{FOLDERS}
CREATE TABLE change (n INTEGER PRIMARY KEY, sign INTEGER NOT NULL, text TEXT NOT NULL, id TEXT NOT NULL);
CREATE TABLE progress (filled INTEGER NOT NULL);
INSERT INTO progress VALUES ({COMPLETE});
CREATE VIRTUAL TABLE fts USING fts5
    (text, content = 'body', content_rowid = 'k', tokenize = 'trigram case_sensitive 1', columnsize = 0);
"""
#: The id of an image from its row: see `to_image_id`.
_ID: Final = "'img_' || lower(hex(ord)) || '_' || ((k & 7) + 1)"
_ID_OLD: Final = "'img_' || lower(hex(old.ord)) || '_' || ((old.k & 7) + 1)"
_DAY: Final = f"(k >> {_MS_SHIFT}) / {_DAY_MS}"
#: Made after a bulk load. The counters and the full-text index follow every change of a row.
FOLLOWERS: Final = f"""
CREATE INDEX by_model ON image (model);
CREATE INDEX favourites ON image (k) WHERE favourite;
CREATE INDEX labels_of ON label (k);
INSERT INTO day SELECT {_DAY}, model, count(*) FROM image GROUP BY 1, 2;
CREATE TRIGGER image_inserted AFTER INSERT ON image BEGIN
    INSERT INTO day VALUES ((new.k >> {_MS_SHIFT}) / {_DAY_MS}, new.model, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER image_deleted AFTER DELETE ON image BEGIN
    UPDATE day SET n = n - 1 WHERE day = (old.k >> {_MS_SHIFT}) / {_DAY_MS} AND model = old.model;
    DELETE FROM day WHERE day = (old.k >> {_MS_SHIFT}) / {_DAY_MS} AND model = old.model AND n = 0;
    INSERT INTO change (sign, text, id) SELECT -1, text, {_ID_OLD} FROM body WHERE k = old.k;
    DELETE FROM body WHERE k = old.k;
    DELETE FROM label WHERE k = old.k;
END;
CREATE TRIGGER body_in AFTER INSERT ON body WHEN new.k <= (SELECT filled FROM progress) BEGIN
    INSERT INTO fts (rowid, text) VALUES (new.k, new.text);
END;
CREATE TRIGGER body_out AFTER DELETE ON body WHEN old.k <= (SELECT filled FROM progress) BEGIN
    INSERT INTO fts (fts, rowid, text) VALUES ('delete', old.k, old.text);
END;
CREATE TRIGGER body_inserted AFTER INSERT ON body BEGIN
    INSERT INTO change (sign, text, id) SELECT 1, new.text, {_ID} FROM image WHERE k = new.k;
END;
CREATE TRIGGER change_old AFTER INSERT ON change BEGIN DELETE FROM change WHERE n <= new.n - {_KEPT_CHANGES}; END;
"""


class Row(NamedTuple):
    """What the index knows of an image."""

    number: int
    order: bytes
    model: str
    text: str
    favourite: bool
    labels: tuple[str, ...]


def insert_all(database: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Write the rows of images that the index may know already."""
    database.executemany("INSERT OR IGNORE INTO image VALUES (?, ?, ?, ?)", ((*row[:3], row.favourite) for row in rows))
    database.executemany("INSERT OR IGNORE INTO body VALUES (?, ?)", ((row.number, row.text) for row in rows))
    labels = ((label, row.number, row.order) for row in rows for label in row.labels)
    query = "INSERT OR IGNORE INTO label SELECT ?, k FROM image WHERE k = ? AND ord = ?"
    database.executemany(query, labels)


def put(database: sqlite3.Connection, row: Row) -> None:
    """Write the row of an image, and note whether it is new or changed."""
    known = database.execute("SELECT ord, favourite FROM image WHERE k = ?", (row.number,)).fetchone()
    if known is None:
        insert_all(database, [row])
    elif known[0] == row.order and (bool(known[1]), labels_of(database, row.number)) != (row.favourite, row.labels):
        database.execute("UPDATE image SET favourite = ? WHERE k = ?", (row.favourite, row.number))
        database.execute("DELETE FROM label WHERE k = ?", (row.number,))
        database.executemany("INSERT INTO label VALUES (?, ?)", ((label, row.number) for label in row.labels))
        changed = (to_image_id(row.number, row.order),)
        database.execute("INSERT INTO change (sign, text, id) VALUES (0, '', ?)", changed)


def labels_of(database: sqlite3.Connection, number: int) -> tuple[str, ...]:
    """The labels of an image, sorted."""
    rows = database.execute("SELECT label FROM label WHERE k = ? ORDER BY label", (number,))
    return tuple(label for (label,) in rows)


def to_number(image_id: str) -> int:
    """The row of an image. Raises ValueError beyond the year 2109."""
    return first_number(bytes.fromhex(image_id[4:36])) + int(image_id[37]) - 1


def first_number(key: bytes) -> int:
    """The row of the first image of the job with this order; those of the others follow it. Raises as `to_number`."""
    order = int.from_bytes(key, "big")
    milliseconds = order >> 80
    if milliseconds >> _MS_BITS:
        raise ValueError(f"{key.hex()} is dated beyond the calendar of the index")
    return milliseconds << _MS_SHIFT | (order >> 64 & 0xFFF) << 9 | (order & 0x3F) << 3


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
    (images,) = database.execute("SELECT ifnull(sum(n), 0) FROM day").fetchone()
    amount = max(_STEP_ROWS, images // _MOST_SEGMENTS)
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
