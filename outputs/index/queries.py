"""What is asked of the image index. Every function takes a connection that reads, within one transaction."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from core.sqlite_index import cached_until_write, sticky_cache
from outputs.index.search_text import TRIGRAM, exactly, phrase
from outputs.index.tables import COMPLETE, filled, first_number, span, to_image_id


class Change(NamedTuple):
    """An image came (1), went (-1) or was changed (0); the changes are numbered."""

    number: int
    sign: int
    image_id: str


class Wanted(NamedTuple):
    """Which images are asked for."""

    #: Folded; each must occur in the prompt or the model.
    words: tuple[str, ...] = ()
    model: str | None = None
    favourite: bool = False
    label: str | None = None
    #: The order of a job, without dashes.
    order: bytes | None = None

    @property
    def is_chosen(self) -> bool:
        """Whether only a chosen few are asked for: their number is what a look costs."""
        return self.favourite or self.label is not None or self.order is not None


def labels(database: sqlite3.Connection, limit: int) -> list[tuple[str, int]]:
    """The labels of most images, and of how many."""
    query = "SELECT label, count(*) AS n FROM label GROUP BY label ORDER BY n DESC, label LIMIT ?"
    return cached_until_write(database, ("labels", limit), lambda: database.execute(query, (limit,)).fetchall())


def last_change(database: sqlite3.Connection) -> int:
    """The number of the last change; 0 where none is kept."""
    return int(database.execute("SELECT ifnull(max(n), 0) FROM change").fetchone()[0])


def changes(database: sqlite3.Connection, after: int, limit: int) -> list[Change]:
    """The changes after this one that are kept, in order."""
    rows = database.execute("SELECT n, sign, id FROM change WHERE n > ? ORDER BY n LIMIT ?", (after, limit))
    return [Change(*row) for row in rows]


def days(database: sqlite3.Connection, model: str | None) -> list[tuple[int, int]]:
    """Days that have images, the newest first, with their number of images."""
    if model is None:
        return database.execute("SELECT day, sum(n) FROM day GROUP BY day ORDER BY day DESC").fetchall()
    return database.execute("SELECT day, n FROM day WHERE model = ? ORDER BY day DESC", (model,)).fetchall()


def _newest(database: sqlite3.Connection, model: str | None, offset: int, limit: int) -> tuple[int, list[str]]:
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


def page(
    database: sqlite3.Connection, wanted: Wanted, offset: int, limit: int, *, oldest: bool = False
) -> tuple[int, list[str]]:
    """How many images there are, and those from `offset` on, newest first or oldest first."""
    if not oldest:
        return _page(database, wanted, offset, limit)
    total, _ = _page(database, wanted, 0, 0)
    size = max(0, min(limit, total - offset))
    _, found = _page(database, wanted, total - offset - size, size) if size else (total, [])
    return total, found[::-1]


def _page(database: sqlite3.Connection, wanted: Wanted, offset: int, limit: int) -> tuple[int, list[str]]:
    if wanted.is_chosen:
        query = f"ORDER BY k DESC LIMIT {limit:d} OFFSET {offset:d}"
        return _count_chosen(database, wanted), _chosen(database, wanted, query)
    if wanted.words:
        return _matching(database, list(wanted.words), wanted.model, offset, limit)
    return _newest(database, wanted.model, offset, limit)


def after(
    database: sqlite3.Connection, wanted: Wanted, last: int, limit: int, *, oldest: bool = False
) -> tuple[int, list[str]]:
    """How many images there are, and those that come after this row, newest first or oldest first."""
    sign, direction = (">", "ASC") if oldest else ("<", "DESC")
    end = f"ORDER BY k {direction} LIMIT {limit:d}"
    if wanted.is_chosen:
        return _count_chosen(database, wanted), _chosen(database, wanted, end, f"k {sign} {last:d}")
    if not wanted.words:
        amounts = cached_until_write(database, ("days", wanted.model), lambda: days(database, wanted.model))
        where, values = _where(wanted.model)
        rows = database.execute(f"SELECT k, ord FROM image WHERE {where} AND k {sign} ? {end}", (*values, last))
        return sum(n for _, n in amounts), [to_image_id(number, order) for number, order in rows]
    needles = _needles(wanted)
    source, texts = _search(needles, complete=filled(database) == COMPLETE)
    query = f"SELECT k FROM (SELECT k FROM {source}) WHERE k {sign} ? {end}"
    numbers = [k for (k,) in database.execute(query, (*texts, last))]
    return _total(database, needles, source, texts), _image_ids(database, numbers)


def _needles(wanted: Wanted) -> list[str]:
    return [*wanted.words, *([] if wanted.model is None else [exactly(wanted.model)])]


def _count_chosen(database: sqlite3.Connection, wanted: Wanted) -> int:
    source, values = _chosen_from(database, wanted)
    query = f"SELECT count(*) FROM {source}"
    return cached_until_write(database, wanted, lambda: int(database.execute(query, values).fetchone()[0]))


def _chosen(database: sqlite3.Connection, wanted: Wanted, end: str, condition: str = "1") -> list[str]:
    source, values = _chosen_from(database, wanted)
    rows = database.execute(f"SELECT k, ord FROM {source} AND {condition} {end}", values)
    return [to_image_id(number, order) for number, order in rows]


def _chosen_from(database: sqlite3.Connection, wanted: Wanted) -> tuple[str, tuple[object, ...]]:
    """The chosen images, as a FROM clause with its values."""
    conditions: list[str] = []
    values: list[object] = []
    if wanted.label is not None:
        conditions.append("k IN (SELECT k FROM label WHERE label = ?)")
        values.append(wanted.label)
    if wanted.favourite:
        conditions.append("favourite")
    if wanted.order is not None:
        first = first_number(wanted.order)
        conditions.append("k >= ? AND k < ? AND ord = ?")
        values += [first, first + 8, wanted.order]
    if wanted.model is not None:
        conditions.append("model = ?")
        values.append(wanted.model)
    if wanted.words:
        source, texts = _search(list(wanted.words), complete=filled(database) == COMPLETE)
        conditions.append(f"k IN (SELECT k FROM {source})")
        values += texts
    return f"image WHERE {' AND '.join(conditions)}", tuple(values)


def _image_ids(database: sqlite3.Connection, numbers: list[int]) -> list[str]:
    """The images of these rows."""
    orders = (database.execute("SELECT ord FROM image WHERE k = ?", (k,)).fetchone() for k in numbers)
    return [to_image_id(number, order) for number, (order,) in zip(numbers, orders, strict=True)]


def _where(model: str | None) -> tuple[str, tuple[str, ...]]:
    return ("1", ()) if model is None else ("model = ?", (model,))


def _matching(
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
