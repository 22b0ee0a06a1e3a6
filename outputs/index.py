"""The derived index of images: gallery pages, totals and search at a cost that hardly grows.

The sidecars are the truth; a page's images are read from them. The index knows which there are, in
which order, and what their prompts say. Rows are numbered by time, so that the newest come first
without sorting, and a count per day leads to any page without counting the rows before it.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from jobs import files
from jobs.errors import IndexUnavailable
from jobs.ids import image_folder, is_image_id
from jobs.sqlite_index import IndexFile, run_script
from outputs.errors import DamagedImage, ImageNotFound
from outputs.search_text import TRIGRAM, exactly, phrase, searchable, words
from outputs.sidecar import Sidecar
from outputs.store import ImageStore

logger = logging.getLogger(__name__)

VERSION: Final = 1
_DAY_MS: Final = 86_400_000
#: A row's number: milliseconds, 12 bits of sub-millisecond, 6 random bits, 3 bits of image number.
_MS_SHIFT: Final = 21
_COMPLETE: Final = 2**63 - 1
_BATCH: Final = 100
#: A directory changed so recently may change again within the clock tick of the file system.
_SETTLED_NS: Final = 100_000_000
_FOLDER: Final = re.compile(r"\d{4}/\d{2}/\d{2}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: `filled`: the full-text index has every row up to this number; the rest is searched row by row.
_TABLES: Final = f"""
CREATE TABLE image (k INTEGER PRIMARY KEY, ord BLOB NOT NULL, model TEXT NOT NULL);
CREATE TABLE body (k INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE day (day INTEGER, model TEXT, n INTEGER NOT NULL, PRIMARY KEY (day, model)) WITHOUT ROWID;
CREATE TABLE folder (name TEXT PRIMARY KEY, changed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE progress (filled INTEGER NOT NULL);
INSERT INTO progress VALUES ({_COMPLETE});
CREATE VIRTUAL TABLE fts USING fts5
    (text, content = 'body', content_rowid = 'k', tokenize = 'trigram case_sensitive 1', columnsize = 0);
"""
_DAY: Final = f"(k >> {_MS_SHIFT}) / {_DAY_MS}"
#: Made after a bulk load. The counters and the full-text index follow every change of a row.
_FOLLOWERS: Final = f"""
CREATE INDEX by_model ON image (model);
INSERT INTO day SELECT {_DAY}, model, count(*) FROM image GROUP BY 1, 2;
CREATE TRIGGER image_in AFTER INSERT ON image BEGIN
    INSERT INTO day VALUES ((new.k >> {_MS_SHIFT}) / {_DAY_MS}, new.model, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER image_out AFTER DELETE ON image BEGIN
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
"""

_Row = tuple[int, bytes, str, str]


class GalleryPage(Struct, frozen=True, kw_only=True):
    """One page of images, newest first. `total` and `has_more` are true to the filter."""

    images: list[Sidecar]
    total: int
    has_more: bool


class _Facts(Struct):
    """What the index needs of a sidecar."""

    model_id: str
    prompt: str


class ImageIndex:
    """The index of the images of one store, in the SQLite file `path`. An Observer of the store.

    Reading raises IndexUnavailable while there is no index; `repair` makes one.
    """

    def __init__(self, path: Path, store: ImageStore) -> None:
        self._file = IndexFile(path, VERSION)
        self._store = store
        self._lock_path = Path(f"{path}.lock")

    # --- Observer ---------------------------------------------------------------------------

    def image_added(self, sidecar: Sidecar) -> None:
        """Note a committed image; never raises, since `repair` finds what is missed."""
        self._follow(sidecar.id)

    def image_removed(self, image_id: str) -> None:
        """Note that an image is gone; never raises."""
        self._follow(image_id)

    def _follow(self, image_id: str) -> None:
        try:
            self._correct([image_id])
        except IndexUnavailable as error:
            logger.debug("Image %s is not in the index yet: %s", image_id, error)
        except (OSError, ValueError) as error:
            logger.warning("Image %s could not be indexed: %s", image_id, error)

    # --- Reading ----------------------------------------------------------------------------

    def page(self, *, page: int = 1, limit: int = 20, search: str = "", model: str | None = None) -> GalleryPage:
        """Page `page` (from 1) of `limit` images; every word of `search` must occur in prompt or model.

        A page after the last is empty. Raises IndexUnavailable.
        """
        offset = (page - 1) * limit
        wanted = words(search)
        with self._file.read() as database:
            database.execute("BEGIN")
            if wanted:
                total, found = _matching(database, wanted, model, offset, limit)
            else:
                total, found = _newest(database, model, offset, limit)
            database.execute("COMMIT")
        return GalleryPage(images=list(self._sidecars(found)), total=total, has_more=offset + limit < total)

    def count(self, model: str | None = None) -> int:
        """How many images there are; raises IndexUnavailable."""
        with self._file.read() as database:
            return sum(n for _, n in _days(database, model))

    def _sidecars(self, image_ids: Iterable[str]) -> Iterator[Sidecar]:
        for image_id in image_ids:
            with suppress(ImageNotFound, DamagedImage):
                yield self._store.sidecar(image_id)

    # --- Repair -----------------------------------------------------------------------------

    def needs_repair(self) -> bool:
        """Whether the index is missing, behind, or a day's folder changed; costs one stat per day."""
        if self._file.must_rebuild():
            return True
        try:
            return bool(self._changed_folders()) or not self._is_filled()
        except IndexUnavailable:
            return False

    def size_of_repair(self) -> int:
        """About how many names a repair would have to read."""
        try:
            changed = self._changed_folders()
            if not self._is_filled():
                return self.count()
            with self._file.read() as database:
                known = dict(_days(database, None))
        except IndexUnavailable:
            return sum(1 for folder in self._folders() for _ in self._ids(folder))
        return sum(known.get(_day_of(folder), 0) for folder in changed)

    def repair(self) -> int:
        """Make the index equal to the directories; answers how many entries were wrong.

        Builds the index where it is missing or broken. Does nothing while another process repairs.
        Raises IndexUnavailable where the index cannot be written now, OSError where the outputs cannot be read.
        """
        lock = files.ExclusiveLock(self._lock_path)
        if not lock.acquire():
            return 0
        try:
            if self._file.must_rebuild():
                self._rebuild()
            wrong = self._compare()
            self._fill_search()
            return wrong
        finally:
            lock.release()

    def rebuild(self) -> None:
        """Build the index anew, whatever state it is in; waits for another repair to end. Raises as `repair`."""
        lock = files.ExclusiveLock(self._lock_path)
        lock.acquire(timeout=-1)
        try:
            self._rebuild()
            self._compare()
            self._fill_search()
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
        """Load all sidecars. The full-text index is the slow part and follows afterwards, in `_fill_search`."""
        run_script(database, _TABLES)
        for folder in sorted(self._folders()):
            rows = [row for image_id in sorted(self._ids(folder)) if (row := self._read_row(image_id))]
            database.executemany("INSERT OR IGNORE INTO image VALUES (?, ?, ?)", (row[:3] for row in rows))
            database.executemany("INSERT OR IGNORE INTO body VALUES (?, ?)", ((row[0], row[3]) for row in rows))
        database.execute("UPDATE progress SET filled = -1 WHERE EXISTS (SELECT 1 FROM body)")
        run_script(database, _FOLLOWERS)

    def _is_filled(self) -> bool:
        with self._file.read() as database:
            return _filled(database) == _COMPLETE

    def _fill_search(self) -> None:
        """Bring the full-text index up to date in short transactions, oldest first."""
        while not self._is_filled():
            with self._file.write() as database:
                done = _filled(database)
                rows = database.execute("SELECT k FROM body WHERE k > ? ORDER BY k LIMIT 500", (done,)).fetchall()
                last = rows[-1][0] if len(rows) == 500 else _COMPLETE
                query = "INSERT INTO fts (rowid, text) SELECT k, text FROM body WHERE k > ? AND k <= ? ORDER BY k"
                database.execute(query, (done, last))
                database.execute("UPDATE progress SET filled = ?", (last,))

    def _read_row(self, image_id: str) -> _Row | None:
        """The entry of a committed image; None if there is none or its sidecar cannot be read."""
        with suppress(OSError, ValueError, ImageNotFound, msgspec.DecodeError):
            facts = msgspec.json.decode(files.read(self._store.sidecar_path(image_id)), type=_Facts)
            return (
                _number(image_id),
                bytes.fromhex(image_id[4:36]),
                facts.model_id,
                searchable(facts.prompt, facts.model_id),
            )
        return None

    def _folders(self) -> dict[str, int]:
        """The days' folders, `YYYY/MM/DD`, and when each changed (ns)."""
        found = {}
        for path in self._store.outputs.glob("[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]"):
            name = "/".join(path.parts[-3:])
            if _FOLDER.fullmatch(name) and _day_of(name) >= 0:
                found[name] = os.stat(path).st_ctime_ns
        return found

    def _ids(self, folder: str) -> Iterator[str]:
        """The images whose sidecars lie in a day's folder, and belong there."""
        try:
            names = os.listdir(self._store.outputs / folder)
        except FileNotFoundError:
            return
        for name in names:
            stem, extension = os.path.splitext(name)
            if extension == ".json" and is_image_id(stem) and _belongs(stem, folder):
                yield stem

    def _changed_folders(self) -> dict[str, int]:
        """Folders that changed since they were last compared, and when (ns; 0 for one that is gone)."""
        present = self._folders()
        with self._file.read() as database:
            known = dict(database.execute("SELECT name, changed FROM folder").fetchall())
            days = {_folder_of(day) for (day,) in database.execute("SELECT DISTINCT day FROM day")}
        changed = {name: moment for name, moment in present.items() if known.get(name) != moment}
        return changed | dict.fromkeys((known.keys() | days) - present.keys(), 0)

    def _compare(self) -> int:
        changed = self._changed_folders()
        settled = time.time_ns() - _SETTLED_NS
        wrong = sorted({image_id for folder in changed for image_id in self._differences(folder)})
        for start in range(0, len(wrong), _BATCH):
            self._correct(wrong[start : start + _BATCH])
        with self._file.write() as database:
            database.executemany("DELETE FROM folder WHERE name = ?", ((name,) for name in changed))
            seen = [(name, moment) for name, moment in changed.items() if 0 < moment < settled]
            database.executemany("INSERT INTO folder VALUES (?, ?)", seen)
        return len(wrong)

    def _differences(self, folder: str) -> set[str]:
        """The images that are only in the folder or only in the index."""
        start = _day_of(folder) * _DAY_MS << _MS_SHIFT
        end = start + (_DAY_MS << _MS_SHIFT)
        with self._file.read() as database:
            rows = database.execute("SELECT k, ord FROM image WHERE k >= ? AND k < ?", (start, end))
            known = {_image_id(number, order) for number, order in rows}
        return set(self._ids(folder)) ^ known

    def _correct(self, image_ids: Iterable[str]) -> None:
        """Write what the store says now; under the write lock, so that a later change is written later."""
        with self._file.write() as database:
            for image_id in image_ids:
                row = self._read_row(image_id)
                if row is None:
                    key = (_number(image_id), bytes.fromhex(image_id[4:36]))
                    database.execute("DELETE FROM image WHERE k = ? AND ord = ?", key)
                elif database.execute("INSERT OR IGNORE INTO image VALUES (?, ?, ?)", row[:3]).rowcount:
                    database.execute("INSERT INTO body VALUES (?, ?)", (row[0], row[3]))


def _number(image_id: str) -> int:
    """The row of an image. Raises ValueError beyond the year 2109."""
    order = int(image_id[4:36], 16)
    milliseconds = order >> 80
    if milliseconds >> 42:
        raise ValueError(f"{image_id} is dated beyond the calendar of the index")
    return milliseconds << _MS_SHIFT | (order >> 64 & 0xFFF) << 9 | (order & 0x3F) << 3 | int(image_id[37]) - 1


def _image_id(number: int, order: bytes) -> str:
    return f"img_{order.hex()}_{(number & 7) + 1}"


def _belongs(image_id: str, folder: str) -> bool:
    try:
        _number(image_id)
        return image_folder(image_id) == folder
    except (ValueError, OverflowError, OSError):
        return False


def _day_of(folder: str) -> int:
    """Days since the epoch; -1 where no calendar has the day."""
    try:
        return (datetime.strptime(folder, "%Y/%m/%d").replace(tzinfo=UTC) - _EPOCH).days
    except ValueError:
        return -1


def _folder_of(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).strftime("%Y/%m/%d")


def _filled(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT filled FROM progress").fetchone()[0])


def _days(database: sqlite3.Connection, model: str | None) -> list[tuple[int, int]]:
    """Days that have images, the newest first, with their number of images."""
    if model is None:
        return database.execute("SELECT day, sum(n) FROM day GROUP BY day ORDER BY day DESC").fetchall()
    return database.execute("SELECT day, n FROM day WHERE model = ? ORDER BY day DESC", (model,)).fetchall()


def _newest(database: sqlite3.Connection, model: str | None, offset: int, limit: int) -> tuple[int, list[str]]:
    days = _days(database, model)
    anchor = _anchor(database, days, model, offset)
    if anchor is None:
        return sum(n for _, n in days), []
    where, values = _where(model)
    query = f"SELECT k, ord FROM image WHERE {where} AND k <= ? ORDER BY k DESC LIMIT ?"
    rows = database.execute(query, (*values, anchor, limit))
    return sum(n for _, n in days), [_image_id(number, order) for number, order in rows]


def _anchor(database: sqlite3.Connection, days: list[tuple[int, int]], model: str | None, offset: int) -> int | None:
    """The row at `offset`: first the day by its counts, then the row within the day, from the nearer end."""
    for day, amount in days:
        if offset < amount:
            return _row_within(database, day, amount, model, offset)
        offset -= amount
    return None


def _row_within(database: sqlite3.Connection, day: int, amount: int, model: str | None, offset: int) -> int | None:
    where, values = _where(model)
    start = day * _DAY_MS << _MS_SHIFT
    end = start + (_DAY_MS << _MS_SHIFT)
    direction, steps = ("DESC", offset) if offset <= amount // 2 else ("ASC", amount - 1 - offset)
    query = f"SELECT k FROM image WHERE {where} AND k >= ? AND k < ? ORDER BY k {direction} LIMIT 1 OFFSET ?"
    row = database.execute(query, (*values, start, end, steps)).fetchone()
    return None if row is None else int(row[0])


def _where(model: str | None) -> tuple[str, tuple[str, ...]]:
    return ("1", ()) if model is None else ("model = ?", (model,))


def _matching(
    database: sqlite3.Connection, wanted: list[str], model: str | None, offset: int, limit: int
) -> tuple[int, list[str]]:
    source, values = _search(wanted, model, complete=_filled(database) == _COMPLETE)
    (total,) = database.execute(f"SELECT count(*) FROM {source}", values).fetchone()
    if offset >= total:
        return total, []
    size = min(limit, total - offset)
    backwards = offset > total // 2
    direction, steps = ("ASC", total - offset - size) if backwards else ("DESC", offset)
    query = f"SELECT k FROM {source} ORDER BY k {direction} LIMIT ? OFFSET ?"
    numbers = sorted((k for (k,) in database.execute(query, (*values, size, steps))), reverse=True)
    orders = (database.execute("SELECT ord FROM image WHERE k = ?", (k,)).fetchone() for k in numbers)
    return total, [_image_id(number, order) for number, (order,) in zip(numbers, orders, strict=True)]


def _search(wanted: list[str], model: str | None, *, complete: bool) -> tuple[str, tuple[str, ...]]:
    """The rows that match, as a FROM clause with its values.

    The trigram index finds words of three letters and more; shorter ones are looked for in each text.
    """
    needles = wanted if model is None else [*wanted, exactly(model)]
    long = [needle for needle in needles if complete and len(needle) >= TRIGRAM]
    short = [needle for needle in needles if needle not in long]
    if not short:
        return "(SELECT rowid AS k FROM fts WHERE fts MATCH ?)", (" AND ".join(map(phrase, long)),)
    tests = " AND ".join("instr(text, ?)" for _ in short)
    if not long:
        return f"body WHERE {tests}", tuple(short)
    matching = "(SELECT rowid AS k, text FROM fts WHERE fts MATCH ?)"
    return f"{matching} WHERE {tests}", (" AND ".join(map(phrase, long)), *short)
