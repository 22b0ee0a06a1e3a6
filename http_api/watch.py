"""Watching jobs for many clients at once: one look per job and worker, however many watch it.

A single poller per process compares a few `stat` results of each watched job four times a second, and
reads files only where they changed. So 500 open streams cost no more than their jobs do.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from http_api import job_view, stopping
from http_api.job_look import Looker
from jobs.errors import CorruptJob, CyberImageError, JobNotFound
from jobs.ids import accepted_at
from jobs.schema import Job, State
from jobs.spool import Spool

logger = logging.getLogger(__name__)

#: Seconds between two comparisons.
INTERVAL: Final = 0.25
#: Seconds after which a job is looked at though no file changed: its runner may be gone.
_LOOK_ANYWAY: Final = 2.0


class Snapshot(Struct, frozen=True):
    """What `/status` says at one moment; `version` stands for its content, in every worker and for ever."""

    #: The JSON of the answer.
    body: bytes
    version: str
    is_final: bool


def snapshot(looker: Looker, job_id: str) -> tuple[Snapshot, Job, State]:
    """The present snapshot of a job; raises JobNotFound, CorruptJob."""
    look = looker.look(job_id)
    body = msgspec.json.encode(job_view.status(look))
    version = hashlib.sha256(body).hexdigest()[:24]
    return Snapshot(body, version, look.state.is_final), look.job, look.state


class Subscription:
    """One client's view of a job."""

    def __init__(self) -> None:
        self._news = threading.Event()
        self._latest: Snapshot | None = None
        self.is_over = False

    def wait(self, timeout: float) -> Snapshot | None:
        """The latest snapshot, once there is a new one; None after `timeout` seconds, or when watching is over."""
        self._news.wait(timeout)
        self._news.clear()
        latest, self._latest = self._latest, None
        return latest

    def tell(self, news: Snapshot) -> None:
        """Put the latest snapshot in; an older one that nobody took is dropped."""
        self._latest = news
        self._news.set()

    def end(self) -> None:
        """Nothing more will come: the job is gone, or the server stops."""
        self.is_over = True
        self._news.set()


class _Watched:
    """A job that somebody watches."""

    def __init__(self, first: Snapshot, job: Job, state: State) -> None:
        self.latest = first
        self.job = job
        self.state = state
        self.files: tuple[int, ...] = ()
        self.looked_at = time.monotonic()
        self.subscriptions: set[Subscription] = set()


class JobWatcher:
    """Watches jobs of one spool, in one process. Its poller runs only while somebody watches."""

    def __init__(self, spool: Spool, looker: Looker) -> None:
        self._spool = spool
        self._looker = looker
        self._watched: dict[str, _Watched] = {}
        self._poller: threading.Thread | None = None

    @property
    def streams(self) -> int:
        """How many clients watch now."""
        return sum(len(watched.subscriptions) for watched in self._watched.values())

    @contextmanager
    def watch(self, job_id: str) -> Iterator[tuple[Snapshot, Subscription]]:
        """The present snapshot, and a subscription to later ones; raises JobNotFound, CorruptJob."""
        first, job, state = snapshot(self._looker, job_id)
        watched = self._watched.setdefault(job_id, _Watched(first, job, state))
        subscription = Subscription()
        watched.subscriptions.add(subscription)
        if watched.latest.version != first.version:
            self._publish(watched, first, job, state)
        self._start()
        try:
            yield first, subscription
        finally:
            watched.subscriptions.discard(subscription)
            if not watched.subscriptions and self._watched.get(job_id) is watched:
                del self._watched[job_id]

    def _start(self) -> None:
        if self._poller is None:
            self._poller = threading.Thread(target=self._poll, name="job-watcher", daemon=True)
            self._poller.start()

    def _poll(self) -> None:
        while self._watched and not stopping.is_stopping():
            time.sleep(INTERVAL)
            queue = _stamp(self._spool.root / State.PROCESSING)
            for job_id, watched in list(self._watched.items()):
                self._compare(job_id, watched, queue)
        self._poller = None
        if stopping.is_stopping():
            self._end_all()
        elif self._watched:  # somebody came while we went
            self._start()

    def _compare(self, job_id: str, watched: _Watched, queue: int) -> None:
        files = self._files(watched, queue)
        if files == watched.files and time.monotonic() - watched.looked_at < _LOOK_ANYWAY:
            return
        watched.files = files
        watched.looked_at = time.monotonic()
        try:
            self._publish(watched, *snapshot(self._looker, job_id))
        except (JobNotFound, CorruptJob):
            self._end(watched)
        except (CyberImageError, OSError) as error:
            logger.warning("Job %s could not be looked at; trying again: %s", job_id, error)

    def _files(self, watched: _Watched, queue: int) -> tuple[int, ...]:
        """What would differ if the job had changed: its file, progress and preview, its images' folder, the queue."""
        job = watched.job
        images = self._spool.outputs / accepted_at(job.order).strftime("%Y/%m/%d")
        own = _stamp(self._spool.path(watched.state, job.id)), _stamp(self._spool.progress_path(job.id))
        seen = _stamp(self._spool.preview_path(job.id)), _stamp(images)
        return (*own, *seen, queue if watched.state is State.PENDING else 0)

    def _publish(self, watched: _Watched, news: Snapshot, job: Job, state: State) -> None:
        watched.job, watched.state = job, state
        if news.version == watched.latest.version:
            return
        watched.latest = news
        for subscription in list(watched.subscriptions):
            subscription.tell(news)

    def _end_all(self) -> None:
        for watched in list(self._watched.values()):
            self._end(watched)

    def _end(self, watched: _Watched) -> None:
        for subscription in list(watched.subscriptions):
            subscription.end()


def _stamp(path: Path) -> int:
    """Changes whenever the file is replaced, or the directory's names do; 0 where there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return 0
    return hash((status.st_ino, status.st_mtime_ns))
