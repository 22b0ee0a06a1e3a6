"""The derived index of images: gallery pages, totals and search at a cost that hardly grows.

The sidecars are the truth; a page's images are read from them. The index knows which there are, in
which order, and what their prompts say. Rows are numbered by time, so that the newest come first
without sorting, and a count per day leads to any page without counting the rows before it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from core.derived_index import DerivedIndex
from core.errors import IndexUnavailable, InvalidRequest
from core.sqlite_index import run_script
from jobs.ids import day_folder, image_folder, is_image_id
from outputs.errors import DamagedImage, ImageNotFound
from outputs.index import queries, tables
from outputs.index.queries import Change, Wanted
from outputs.index.search_text import searchable, words
from outputs.index.tables import COMPLETE, FOLLOWERS, TABLES, VERSION, Row, day_of, to_image_id, to_number
from outputs.sidecar import Sidecar
from outputs.store import ImageStore

logger = logging.getLogger(__name__)

#: More words than a person types; each costs a look into the index.
_MAX_WORDS: Final = 32


class GalleryPage(Struct, frozen=True, kw_only=True):
    """One page of images, newest first. `total` and `has_more` are true to the filter.

    `next_cursor` leads to the images after these, whichever come and go meanwhile; None on the last page.
    """

    images: list[Sidecar]
    total: int
    has_more: bool
    next_cursor: str | None


class ImageIndex(DerivedIndex):
    """The index of the images of one store. An Observer of the store.

    Reading raises IndexUnavailable while there is no index; `repair` makes one.
    """

    def __init__(self, store: ImageStore) -> None:
        super().__init__(store.layout.image_index, VERSION)
        self._store = store
        #: Images whose change could not be noted; comparing names would not find them.
        self._missed: set[str] = set()

    # --- Observer ---------------------------------------------------------------------------

    def image_added(self, sidecar: Sidecar) -> None:
        """Note a committed image; never raises, since `repair` finds what is missed."""
        self._follow(sidecar.id)

    def image_changed(self, image_id: str) -> None:
        """Note what people say of an image now; never raises."""
        if not self._follow(image_id):
            self._missed.add(image_id)

    def image_removed(self, image_id: str) -> None:
        """Note that an image is gone; never raises."""
        self._follow(image_id)

    def _follow(self, image_id: str) -> bool:
        try:
            self.correct_all([image_id])
        except IndexUnavailable as error:
            logger.debug("Image %s is not in the index yet: %s", image_id, error)
        except (OSError, ValueError) as error:
            logger.warning("Image %s could not be indexed: %s", image_id, error)
        else:
            return True
        return False

    # --- Reading ----------------------------------------------------------------------------

    def page(
        self,
        *,
        page: int = 1,
        limit: int = 20,
        search: str = "",
        model: str | None = None,
        favourite: bool = False,
        label: str | None = None,
        order: str | None = None,
        oldest_first: bool = False,
        cursor: str | None = None,
    ) -> GalleryPage:
        """Page `page` (from 1) of `limit` images, or those after `cursor`.

        Every word of `search` must occur in prompt or model; `order` is that of a job, whose images are meant. A page
        after the last is empty. Raises InvalidRequest for too many words, for a cursor that no page gave and for one
        beside a page, and IndexUnavailable.
        """
        offset, last = (page - 1) * limit, _before(cursor, page)
        key = None if order is None else bytes.fromhex(order.replace("-", ""))
        wanted = Wanted(tuple(words(search)), model, favourite, label, key)
        if len(wanted.words) > _MAX_WORDS:
            raise InvalidRequest(f"search has {len(wanted.words)} words; at most {_MAX_WORDS} are allowed.", "search")
        with self.file.read() as database:
            database.execute("BEGIN")
            if last is not None:
                total, found = queries.after(database, wanted, last, limit + 1, oldest=oldest_first)
            else:
                total, found = queries.page(database, wanted, offset, limit, oldest=oldest_first)
            database.execute("COMMIT")
        has_more = offset + limit < total if last is None else len(found) > limit
        images, ends = list(self._sidecars(found[:limit])), found[:limit][-1:]
        return GalleryPage(
            images=images, total=total, has_more=has_more, next_cursor=ends[0] if ends and has_more else None
        )

    def labels(self, limit: int) -> list[tuple[str, int]]:
        """The labels of most images, and of how many; raises IndexUnavailable."""
        with self.file.read() as database:
            return queries.labels(database, limit)

    def last_change(self) -> int:
        """The number of the last change that was noted; raises IndexUnavailable. It falls when the index is rebuilt."""
        with self.file.read() as database:
            return queries.last_change(database)

    def changes(self, after: int, limit: int) -> list[Change]:
        """What changed after that number, oldest first, as far as it is still known; raises IndexUnavailable."""
        with self.file.read() as database:
            return queries.changes(database, after, limit)

    def count(self, model: str | None = None) -> int:
        """How many images there are; raises IndexUnavailable."""
        with self.file.read() as database:
            return sum(n for _, n in queries.days(database, model))

    def _sidecars(self, image_ids: Iterable[str]) -> Iterator[Sidecar]:
        """The sidecars of a page. What cannot be listed is corrected, so that from now on it is not counted either."""
        for image_id in image_ids:
            try:
                yield self._store.sidecar(image_id)
            except (ImageNotFound, DamagedImage):
                self._follow(image_id)

    # --- Repair: see DerivedIndex -----------------------------------------------------------

    def needs_repair(self) -> bool:
        """As every index; first notes the changes that could not be noted when they were made."""
        for image_id in list(self._missed):
            if self._follow(image_id):
                self._missed.discard(image_id)
        return super().needs_repair()

    def fill(self, database: sqlite3.Connection) -> None:
        """Load all sidecars. The full-text index is the slow part and follows afterwards, in `finish`."""
        run_script(database, TABLES)
        for folder in sorted(self.folders()):
            rows = [row for image_id in sorted(self.names(folder)) if (row := self._read_row(image_id))]
            tables.insert_all(database, rows)
        tables.begin_filling(database)
        run_script(database, FOLLOWERS)

    def is_finished(self, database: sqlite3.Connection) -> bool:
        """Whether the full-text index has every image."""
        return tables.filled(database) == COMPLETE

    def finish(self) -> None:
        """Bring the full-text index up to date, oldest images first, in transactions that hold up nobody."""
        finished = False
        while not finished:
            with self.file.write() as database:
                finished = tables.fill_some(database)

    def folders(self) -> dict[str, int]:
        """The days' folders, `YYYY/MM/DD`."""
        return {name: os.stat(path).st_ctime_ns for name, path in days_below(self._store.layout.outputs)}

    def names(self, folder: str) -> Iterator[str]:
        """The images whose sidecars lie in a day's folder, and belong there."""
        try:
            names = os.listdir(self._store.layout.outputs / folder)
        except FileNotFoundError:
            return
        for name in names:
            stem, extension = os.path.splitext(name)
            if extension == ".json" and is_image_id(stem) and _belongs(stem, folder):
                yield stem

    def known_names(self, database: sqlite3.Connection, folder: str) -> set[str]:
        """The images that the index has for a day."""
        start, end = tables.span(day_of(folder))
        rows = database.execute("SELECT k, ord FROM image WHERE k >= ? AND k < ?", (start, end))
        return {to_image_id(number, order) for number, order in rows}

    def known_sizes(self, database: sqlite3.Connection) -> dict[str, int]:
        """Images per day's folder."""
        return {day_folder(day): amount for day, amount in queries.days(database, None)}

    def correct(self, database: sqlite3.Connection, name: str) -> None:
        """Write whether an image exists now, and what it shows."""
        row = self._read_row(name)
        if row is None:
            key = (to_number(name), bytes.fromhex(name[4:36]))
            database.execute("DELETE FROM image WHERE k = ? AND ord = ?", key)
        else:
            tables.put(database, row)

    def _read_row(self, image_id: str) -> Row | None:
        """The entry of a committed image; None if there is none or its sidecar cannot be read."""
        with suppress(OSError, ValueError, ImageNotFound, DamagedImage):
            sidecar = self._store.sidecar(image_id)  # whole, since a page shows the whole of it
            text = searchable(sidecar.prompt, sidecar.model_id)
            number, order = to_number(image_id), bytes.fromhex(image_id[4:36])
            return Row(number, order, sidecar.model_id, text, sidecar.favourite, tuple(sorted(set(sidecar.labels))))
        return None


def _before(cursor: str | None, page: int) -> int | None:
    """The row that a cursor stands for: it is the id of an image, which may be deleted by now."""
    if cursor is None:
        return None
    if page > 1:
        raise InvalidRequest("cursor and page are both given; give one of them.", "cursor")
    with suppress(ValueError):
        if is_image_id(cursor):
            return to_number(cursor)
    raise InvalidRequest(f"cursor is {cursor[:100]!r}; give the next_cursor of the page before.", "cursor")


def days_below(outputs: Path) -> Iterator[tuple[str, Path]]:
    """The days' folders, `YYYY/MM/DD`, in order, and where they are."""
    for year in _numbered(outputs, 4):
        for month in _numbered(outputs / year, 2):
            for day in _numbered(outputs / year / month, 2):
                name = f"{year}/{month}/{day}"
                if day_of(name) >= 0:
                    yield name, outputs / name


def _numbered(folder: Path, digits: int) -> list[str]:
    """The directories in a folder whose names are numbers of so many digits."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if len(name) == digits and name.isascii() and name.isdigit())


def _belongs(image_id: str, folder: str) -> bool:
    try:
        to_number(image_id)
        return image_folder(image_id) == folder
    except (ValueError, OverflowError, OSError):
        return False
