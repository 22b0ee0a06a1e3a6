"""How a job is told while it is made: a bar and its preview on a terminal, a line for each phase elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from rich.control import Control
from rich.segment import ControlType, Segment

from client import inline_pictures
from client.errors import ClientError
from client.exit_codes import Ended
from client.results import JobStatus, JobSummary
from client.terminal import note, size_of

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

_PHASES: Final = {"preparing": "preparing", "loading_model": "loading the model", "saving": "saving"}
#: Columns from which on a part of the bar is shown.
_ELAPSED_FROM, _STEP_FROM, _LEFT_FROM = 60, 48, 72
#: Rows of the terminal that a picture takes, and that it leaves free.
_ROWS, _FREE_ROWS = 14, 6


class Follower:
    """Is told of each change; this one says nothing. `title` stands before what is said of a job."""

    title = ""

    def tell(self, job: JobStatus) -> None:
        """A job has changed."""

    def show(self, picture: bytes) -> None:
        """A picture is finished."""


@contextmanager
def following(preview_of: Callable[[str], bytes], *, quiet: bool, previews: bool) -> Iterator[Follower]:
    """Something to tell each status of a job. `preview_of` gets the preview of a job, by its id."""
    if quiet:
        yield Follower()
    elif sys.stderr.isatty():
        how = inline_pictures.protocol() if previews else None
        with _bar() as bar:
            yield BarFollower(bar, _Area(bar, how) if how else None, preview_of)
    else:
        yield LineFollower()


def describe(job: JobSummary) -> str:
    """What a job does now, in a few words."""
    if not isinstance(job, JobStatus):
        return {"pending": "waiting", "processing": "running"}.get(job.status, job.error_type or job.status)
    if job.status == "pending":
        behind = job.queue_position
        return "waiting" if behind is None else "next in the queue" if behind == 0 else f"waiting, {behind} before it"
    if job.is_final:
        return job.error_type if job.error_type == "cancelled" else job.status
    return _PHASES.get(job.progress.phase, f"image {job.progress.image_number} of {job.progress.total_images}")


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class LineFollower(Follower):
    """A line for each phase, on stderr."""

    def __init__(self) -> None:
        self._last = ""

    def tell(self, job: JobStatus) -> None:
        """Say what is new."""
        now = self.title + describe(job)
        if now != self._last and not job.is_final:
            note(now)
        self._last = now


class BarFollower(Follower):
    """A bar, and above it the picture as far as it is."""

    def __init__(self, bar: Progress, area: _Area | None, preview_of: Callable[[str], bytes]) -> None:
        self._bar = bar
        self._area = area
        self._preview_of = preview_of
        self._preview_seen: str | None = None
        self._task = bar.add_task("sent", total=None, step="", left="")

    def tell(self, job: JobStatus) -> None:
        """Move the bar, and show the preview where there is a new one."""
        progress = job.progress
        steps = progress.total_steps or 0
        is_drawing = job.status == "processing" and steps > 0 and progress.phase in ("generating", "saving")
        total = progress.total_images * steps
        done = total if job.status == "completed" else (progress.image_number - 1) * steps + (progress.step or 0)
        is_known = is_drawing or job.status == "completed"
        self._bar.update(
            self._task,
            description=self.title + describe(job),
            total=total if is_known else None,
            completed=done if is_known else 0,
            step=f"step {progress.step}/{steps}" if is_drawing else "",
            refresh=True,
            left="" if job.eta_seconds is None or job.is_final else f"{duration(job.eta_seconds)} left",
        )
        if self._area is not None and job.preview_url and job.preview_url != self._preview_seen:
            self._preview_seen = job.preview_url
            self._show_preview(self._area, job.id)

    def show(self, picture: bytes) -> None:
        """The finished picture takes the place of its previews."""
        if self._area is not None:
            self._area.show(picture)

    def _show_preview(self, area: _Area, job_id: str) -> None:
        # Gone by now, as its picture is finished; or the server is away, which the job's status will say.
        with suppress(ClientError, Ended):
            area.show(self._preview_of(job_id))


class _Area:
    """The rows above the bar, in which a picture is shown."""

    def __init__(self, bar: Progress, how: str) -> None:
        self._bar = bar
        self._how = how
        size = size_of(sys.stderr)
        self._rows = min(_ROWS, size.lines - _FREE_ROWS)
        self._columns = size.columns - 1
        self._is_reserved = False

    def show(self, picture: bytes) -> None:
        """Put a picture in place of the one before."""
        if self._rows < 2:
            return
        # Each line of the area is a sixth of a row too high for sixel at most; one row stays free for that.
        cell = inline_pictures.cell_size(sys.stderr)
        drawn = inline_pictures.drawn(picture, self._how, self._rows - 1, self._columns, cell)
        if drawn is None:
            return
        if not self._is_reserved:
            self._bar.console.print("\n" * (self._rows - 1))
            self._is_reserved = True
        # Save the cursor, which stands in the line of the bar; up, to the first column; and back.
        self._bar.console.control(_Raw(f"\x1b7\r\x1b[{self._rows}A{drawn}\x1b8"))


class _Raw(Control):
    """What is written as it is, in one go, between two states of the bar."""

    def __init__(self, text: str) -> None:
        self.segment = Segment(text, None, [(ControlType.CARRIAGE_RETURN,)])


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    # Room for the ^C that a terminal adds: in a full line it would break it in two.
    room = size_of(sys.stderr).columns - 3
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=None if room < _LEFT_FROM else 40, table_column=Column(min_width=4, ratio=1)),
    ]
    if room >= _STEP_FROM:
        columns.append(TextColumn("{task.fields[step]}", markup=False))
    if room >= _ELAPSED_FROM:
        columns.append(TimeElapsedColumn())
    if room >= _LEFT_FROM:
        columns.append(TextColumn("{task.fields[left]}", markup=False))
    console = Console(stderr=True, width=max(room, 10))
    # Not redirected: what goes to stdout may be for another program.
    return Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False, expand=room < _LEFT_FROM)
