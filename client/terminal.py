"""What people see: tables and the progress bar on a terminal, plain lines elsewhere, one JSON document on request."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from client.results import JobStatus

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PHASES: Final = {"preparing": "preparing", "loading_model": "loading the model", "saving": "saving"}


def printable(text: object) -> str:
    """On one line and without control characters: a prompt must not steer the terminal."""
    return "".join(character if character.isprintable() else " " for character in str(text))


def line(text: object = "") -> None:
    """A line of the answer, on stdout."""
    sys.stdout.write(f"{printable(text)}\n")


def lines(texts: Sequence[object]) -> None:
    """Several lines of the answer."""
    for text in texts:
        line(text)


def note(text: object) -> None:
    """A remark that is no part of the answer, on stderr."""
    sys.stderr.write(f"{printable(text)}\n")


def document(value: Any) -> None:
    """The answer as one JSON document, on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on a terminal; elsewhere lines with tabs and no head, for other programs."""
    if not sys.stdout.isatty():
        for row in rows:
            line_of_tabs = "\t".join(printable(cell) for cell in row)
            sys.stdout.write(f"{line_of_tabs}\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="ellipsis" if column == "prompt" else "fold", no_wrap=column == "prompt")
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(drawn)


def fields(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values, one on each line; what is None is left out."""
    shown = [(name, value) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        line(f"{name.ljust(width)}  {value}")


@contextmanager
def following(*, quiet: bool) -> Iterator[Callable[[JobStatus], None]]:
    """Something to tell each status of a job: a bar on a terminal, else a line for each phase, on stderr."""
    if quiet:
        yield lambda job: None
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield _BarOfJob(bar).tell
    else:
        yield _Phases().tell


def describe(job: JobStatus) -> str:
    """What a job does now, in a few words."""
    if job.status == "pending":
        behind = job.queue_position
        return "waiting" if behind is None else "next in the queue" if behind == 0 else f"waiting, {behind} before it"
    if job.is_final:
        return job.status
    return _PHASES.get(job.progress.phase, f"image {job.progress.image_number} of {job.progress.total_images}")


class _Phases:
    def __init__(self) -> None:
        self._last = ""

    def tell(self, job: JobStatus) -> None:
        now = describe(job)
        if now != self._last and not job.is_final:
            note(now)
        self._last = now


class _BarOfJob:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID = bar.add_task("sent", total=None, step="", eta="")

    def tell(self, job: JobStatus) -> None:
        progress = job.progress
        steps = progress.total_steps or 0
        is_drawing = job.status == "processing" and steps > 0 and progress.phase in ("generating", "saving")
        is_known = is_drawing or job.status == "completed"
        done = (progress.image_number - 1) * steps + (progress.step or 0)
        self._bar.update(
            self._task,
            description=describe(job),
            total=progress.total_images * steps if is_known else None,
            completed=done if is_known else 0,
            step=f"step {progress.step}/{steps}" if is_drawing else "",
            eta="" if job.eta_seconds is None or job.is_final else f"{_duration(job.eta_seconds)} left",
        )


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[step]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[eta]}", markup=False),
        console=Console(stderr=True),
    )


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )
