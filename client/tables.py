"""Lists: on a terminal one line for each record, cut to its width; elsewhere whole values between tabs."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from rich.cells import cell_len, set_cell_size

from client.short_ids import short
from client.terminal import encodable, has_styles, printable, size_of

_GAP: Final = 2
#: How many lines decide how wide a column is.
_SAMPLE: Final = 50


@dataclass(frozen=True)
class Column:
    """A column: its value for programs and, where that differs, for people.

    `least` is the width of the terminal from which on it is shown, `most` how wide it may be; the last column takes
    what is left.
    """

    title: str
    value: Callable[[Any], object]
    shown: Callable[[Any], object] | None = None
    least: int = 0
    most: int = 40

    def cell(self, record: Any, stream: TextIO) -> str:
        """What people see."""
        return encodable(printable((self.shown or self.value)(record)), stream)


def print_list(columns: Sequence[Column], records: Iterable[Any]) -> None:
    """Print records as they come."""
    stream = sys.stdout
    if not stream.isatty():
        for record in records:
            stream.write("\t".join(printable(_plain(column.value(record))) for column in columns) + "\n")
        return
    for text in lines_of(columns, records, stream, size_of(stream).columns):
        stream.write(f"{text}\n")


def lines_of(columns: Sequence[Column], records: Iterable[Any], stream: TextIO, room: int) -> Iterator[str]:
    """The lines for people: a head, then one for each record, none wider than `room`."""
    shown = [column for column in columns if room >= column.least]
    source = iter(records)
    sample = list(itertools.islice(source, _SAMPLE))
    if not sample:
        return
    widths = _widths(shown, [[column.cell(record, stream) for column in shown] for record in sample], room)
    head = _line([column.title for column in shown], widths, room, stream)
    yield f"\x1b[1m{head}\x1b[0m" if has_styles(stream) else head
    for record in itertools.chain(sample, source):
        yield _line([column.cell(record, stream) for column in shown], widths, room, stream)


def _widths(columns: Sequence[Column], cells: list[list[str]], room: int) -> list[int]:
    widths = [
        min(column.most, max(cell_len(text) for text in (column.title, *texts)))
        for column, texts in zip(columns, zip(*cells, strict=True), strict=True)
    ]
    widths[-1] = max(0, room - sum(widths[:-1]) - _GAP * (len(widths) - 1))
    return widths


def _line(cells: Sequence[str], widths: Sequence[int], room: int, stream: TextIO) -> str:
    fitted = [set_cell_size(cut(cell, size, stream), size) for cell, size in zip(cells, widths, strict=True)]
    return cut((" " * _GAP).join(fitted).rstrip(), room, stream)


def cut(text: str, room: int, stream: TextIO) -> str:
    """The text in at most `room` columns; where some is cut off, that is shown."""
    if cell_len(text) <= room:
        return text
    mark = "…" if encodable("…", stream) == "…" else "..."
    if room <= cell_len(mark):
        return set_cell_size(text, max(room, 0))
    return set_cell_size(text, room - cell_len(mark)).rstrip() + mark


def ago(moment: str | None, now: datetime | None = None) -> str:
    """How long ago an RFC 3339 time was, in a word or two; what is no time stays as it is."""
    try:
        then = datetime.fromisoformat(moment or "")
    except ValueError:
        return moment or ""
    seconds = ((now or datetime.now(UTC)) - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds()
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (30 * 86400, 86400, "d")):
        if seconds < limit:
            count = int(max(seconds, 0) // unit)
            return f"{count} {name} ago" if count else "now"
    return then.date().isoformat()


def _plain(value: object) -> object:
    return "" if value is None else value


IMAGES: Final = (
    Column("image", lambda image: image.id, lambda image: short(image.id), most=66),
    Column("made", lambda image: image.created_at, lambda image: ago(image.created_at)),
    Column("model", lambda image: image.model_id, least=70, most=16),
    Column("prompt", lambda image: image.prompt),
)
JOBS: Final = (
    Column("job", lambda job: job.id, lambda job: short(job.id), most=64),
    Column("sent", lambda job: job.created_at, lambda job: ago(job.created_at)),
    Column("status", lambda job: job.error_type or job.status, most=13),
    Column("model", lambda job: job.model_id, least=70, most=16),
    Column("prompt", lambda job: job.prompt),
)
