"""`watch`: the queue as it lives. A view that stays on a terminal, a line for each change elsewhere.

The server tells each change; one that cannot do that is asked again and again.
"""

from __future__ import annotations

import itertools
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from client import terminal
from client.api_client import CyberImageClient
from client.errors import NotFound, ServerUnavailable, ServerUnreachable
from client.progress import describe, duration
from client.results import JobOrder, JobStatus, JobSummary, Queue
from client.short_ids import short
from client.tables import Column, cut, lines_of, print_list

#: Waiting jobs that are looked at; beyond them they are only counted.
_MOST_WAITING: Final = 500
#: Running jobs whose progress is asked for.
_MOST_RUNNING: Final = 16


@dataclass(frozen=True)
class View:
    """The queue at one moment: what runs, and what waits in its order."""

    counts: Queue
    running: list[JobStatus]
    waiting: Sequence[JobSummary]

    @property
    def headline(self) -> str:
        """The whole in a few words."""
        eta = self.counts.eta_seconds
        if eta is None:
            eta = max((job.eta_seconds for job in self.running if job.eta_seconds is not None), default=None)
        parts = ["paused"] if self.counts.paused else []
        parts += [f"{self.counts.processing} running", f"{self.counts.pending} waiting"]
        return ", ".join([*parts, *([f"{duration(eta)} left"] if eta else [])])

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not (self.counts.processing or self.counts.pending or self.running or self.waiting)


ACTIVE: Final = (
    Column("job", lambda job: short(job.id), most=64),
    Column("does", lambda job: describe(job), most=26),
    Column("step", lambda job: _step(job), least=50),
    Column("left", lambda job: _left(job), least=60),
    Column("model", lambda job: job.model_id, least=80, most=16),
    Column("prompt", lambda job: job.prompt),
)
CHANGES: Final = (
    Column("time", lambda change: change[0]),
    Column("job", lambda change: change[1].id),
    Column("status", lambda change: change[2]),
    Column("model", lambda change: change[1].model_id),
    Column("prompt", lambda change: change[1].prompt),
)


def watch(client: CyberImageClient, args: Namespace) -> None:
    """Show the queue until Ctrl-C or, with `--until-empty`, until nothing is left."""
    try:
        if args.json or not sys.stdout.isatty():
            _tell_changes(client, args)
        else:
            _keep_view(client, args)
    except KeyboardInterrupt:
        pass  # the way to end it


class Stream:
    """The queue as the server tells it."""

    def __init__(self) -> None:
        self._counts: Queue | None = None
        self._order: list[str] = []
        self._jobs: dict[str, JobStatus] = {}

    def views(self, client: CyberImageClient) -> Iterator[View]:
        """The queue after each change; raises NotFound where the server does not tell them."""
        for told in client.events():
            if isinstance(told, Queue):
                self._counts = told
            elif isinstance(told, JobOrder):
                self._order = told.order
                self._jobs = {job_id: job for job_id, job in self._jobs.items() if job_id in told.order}
            else:
                self._jobs[told.id] = told
            if self._counts is not None:
                yield self._view(self._counts)

    def _view(self, counts: Queue) -> View:
        jobs = [self._jobs[job_id] for job_id in self._order if job_id in self._jobs]
        running = [job for job in jobs if job.status == "processing"]
        return View(counts, running, [job for job in jobs if job.status == "pending"])


def look(client: CyberImageClient) -> View:
    """Ask for the whole queue, where the server does not tell it by itself."""
    counts = client.queue()
    running = [found for job in _listed(client, "processing", _MOST_RUNNING) if (found := _status(client, job.id))]
    waiting = _listed(client, "pending", _MOST_WAITING) if counts.pending <= _MOST_WAITING else []
    return View(counts, sorted(running, key=lambda job: job.started_at or ""), waiting[::-1])


def _listed(client: CyberImageClient, status: str, most: int) -> list[JobSummary]:
    return list(itertools.islice(client.all_jobs(status=status), most))


def _status(client: CyberImageClient, job_id: str) -> JobStatus | None:
    try:
        return client.status(job_id)
    except NotFound:
        return None


def _keep_view(client: CyberImageClient, args: Namespace) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(), auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        for view in _views(client, args, lambda problem: live.update(Text(problem), refresh=True)):
            size = terminal.size_of(sys.stdout)
            shown = "\n".join(_lines(view, size.columns, size.lines - 1))
            live.update(Text.from_ansi(shown, no_wrap=True, overflow="crop"), refresh=True)


def _lines(view: View, columns: int, rows: int) -> Iterator[str]:
    """As many lines as there are rows."""
    yield cut(terminal.encodable(view.headline, sys.stdout), columns, sys.stdout)
    jobs: list[JobSummary] = [*view.running, *view.waiting]
    room = max(1, rows - 3)
    yield from lines_of(ACTIVE, jobs[:room], sys.stdout, columns)
    beyond = view.counts.processing + view.counts.pending - min(len(jobs), room)
    if beyond > 0:
        yield cut(f"and {beyond} more", columns, sys.stdout)


def _tell_changes(client: CyberImageClient, args: Namespace) -> None:
    known: dict[str, JobSummary] = {}
    for view in _views(client, args, terminal.note):
        now: dict[str, JobSummary] = {job.id: job for job in [*view.running, *view.waiting]}
        changes = list(_changes(client, known, now))
        known = now
        if args.json:
            for moment, job, status in changes:
                terminal.document({"time": moment, "status": status, "job": job}, indent=None)
        else:
            print_list(CHANGES, changes)
        sys.stdout.flush()


def _changes(
    client: CyberImageClient, known: dict[str, JobSummary], now: dict[str, JobSummary]
) -> Iterator[tuple[str, JobSummary, str]]:
    """What has ended, begun or come since the look before."""
    moment = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    for job_id in known.keys() - now.keys():
        ended = _status(client, job_id)
        if ended is not None and ended.is_final:
            yield moment, ended, ended.error_type or ended.status
    for job_id, job in now.items():
        if job_id not in known or known[job_id].status != job.status:
            yield moment, job, job.status


def _views(client: CyberImageClient, args: Namespace, say: Callable[[str], object]) -> Iterator[View]:
    """The queue, again and again; a server that is away is waited for once it has answered."""
    has_answered = False
    was_away = False
    source: Callable[[CyberImageClient], Iterator[View]] = (
        Stream().views
    )  # one for all connections: what it knows stays when one ends
    while True:
        try:
            for view in source(client):
                has_answered, was_away = True, False
                yield view
                if args.until_empty and view.is_empty:
                    return
        except NotFound:
            if source is _polled:
                raise
            source = _polled  # a server without a stream
            continue
        except (ServerUnreachable, ServerUnavailable) as error:
            if not has_answered:
                raise
            if not was_away:
                say(f"{error} Trying again.")
            was_away = True
        time.sleep(args.every)


def _polled(client: CyberImageClient) -> Iterator[View]:
    yield look(client)


def _step(job: JobSummary) -> str:
    if not isinstance(job, JobStatus) or job.progress.phase != "generating":
        return ""
    return f"{job.progress.step}/{job.progress.total_steps}"


def _left(job: JobSummary) -> str:
    return duration(job.eta_seconds) if isinstance(job, JobStatus) and job.eta_seconds is not None else ""
