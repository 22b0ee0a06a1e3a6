"""Watching jobs for many clients at once: one reading per job and process, however many watch it.

A single poller per process compares a few `stat` results of each watched job four times a second, and
reads files only where they changed. So 500 open streams cost no more than their jobs do.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from core.errors import CyberImageError
from core.layout import Layout
from core.locks import Presence
from jobs.errors import CorruptJob, JobNotFound
from jobs.ids import image_folder, image_id
from jobs.schema import State
from jobs.spool import Spool
from service.snapshot import JobSnapshot
from service.snapshot_reader import SnapshotReader

logger = logging.getLogger(__name__)

#: Seconds between two comparisons.
INTERVAL: Final = 0.25
#: Seconds after which a job is read though no file changed: its runner may be gone.
_READ_ANYWAY: Final = 2.0


class Subscription:
    """One client's view of a job."""

    def __init__(self) -> None:
        self._news = threading.Event()
        self._latest: JobSnapshot | None = None
        self.is_over = False

    def wait(self, timeout: float) -> JobSnapshot | None:
        """The latest snapshot, once there is a new one; None after `timeout` seconds, or when watching is over."""
        self._news.wait(timeout)
        self._news.clear()
        latest, self._latest = self._latest, None
        return latest

    def publish(self, news: JobSnapshot) -> None:
        """Put the latest snapshot in; an older one that nobody took is dropped."""
        self._latest = news
        self._news.set()

    def end(self) -> None:
        """Nothing more will come: the job is gone, or the server stops."""
        self.is_over = True
        self._news.set()


class _Watched:
    """A job that somebody watches."""

    def __init__(self, first: JobSnapshot) -> None:
        self.latest = first
        self.files: tuple[int, ...] = ()
        self.read_at = time.monotonic()
        self.subscriptions: set[Subscription] = set()


class JobWatcher:
    """Watches jobs of one spool, in one process. Its poller runs only while somebody watches.

    Who watches is known in all processes, so that a job for which everybody has left can be told from the others.
    `is_stopping` returns whether the process is about to end; then all subscriptions end.
    """

    def __init__(self, spool: Spool, reader: SnapshotReader, is_stopping: Callable[[], bool]) -> None:
        self._spool = spool
        self._reader = reader
        self._is_stopping = is_stopping
        self._presence = Presence(spool.layout.marker)
        self._watched: dict[str, _Watched] = {}
        self._poller: threading.Thread | None = None

    @contextmanager
    def watch(self, job_id: str) -> Iterator[tuple[JobSnapshot, Subscription]]:
        """The present snapshot, and a subscription to later ones; raises JobNotFound, CorruptJob."""
        first = self._reader.read(job_id)
        with self._presence.attend(job_id):
            watched = self._watched.setdefault(job_id, _Watched(first))
            subscription = Subscription()
            watched.subscriptions.add(subscription)
            self._publish(watched, first)
            self._start()
            try:
                yield first, subscription
            finally:
                watched.subscriptions.discard(subscription)
                if not watched.subscriptions and self._watched.get(job_id) is watched:
                    del self._watched[job_id]

    @contextmanager
    def leave(self, job_id: str) -> Iterator[None]:
        """Be one who has watched a job and may come back, within the context."""
        with self._presence.attend(_leaving(job_id)):
            yield

    def is_watched(self, job_id: str) -> bool:
        """Whether anybody watches a job, in any process."""
        return self._presence.others(job_id)

    def is_awaited(self, job_id: str) -> bool:
        """Whether anybody who has left a job may come back, in any process."""
        return self._presence.others(_leaving(job_id))

    def _start(self) -> None:
        if self._poller is None:
            self._poller = threading.Thread(target=self._poll, name="job-watcher", daemon=True)
            self._poller.start()

    def _poll(self) -> None:
        while self._watched and not self._is_stopping():
            time.sleep(INTERVAL)
            layout = self._spool.layout
            queue = hash(tuple(stamp(path) for path in (layout.state(State.PROCESSING), layout.turns, layout.paused)))
            for job_id, watched in list(self._watched.items()):
                self._compare(job_id, watched, queue)
        self._poller = None
        if self._is_stopping():
            self._end_all()
        elif self._watched:  # somebody came while the thread ended
            self._start()

    def _compare(self, job_id: str, watched: _Watched, queue: int) -> None:
        files = self._files(watched.latest, queue)
        if files == watched.files and time.monotonic() - watched.read_at < _READ_ANYWAY:
            return
        watched.files = files
        watched.read_at = time.monotonic()
        try:
            self._publish(watched, self._reader.read(job_id))
        except (JobNotFound, CorruptJob):
            self._end(watched)
        except (CyberImageError, OSError) as error:
            logger.warning("Job %s could not be read; trying again: %s", job_id, error)

    def _files(self, latest: JobSnapshot, queue: int) -> tuple[int, ...]:
        """What would differ if the job had changed: its own files, and for one that waits the queue."""
        return (*files_of(self._spool.layout, latest), queue if latest.state is State.PENDING else 0)

    def _publish(self, watched: _Watched, news: JobSnapshot) -> None:
        if news == watched.latest:
            return
        watched.latest = news
        for subscription in list(watched.subscriptions):
            subscription.publish(news)

    def _end_all(self) -> None:
        for watched in list(self._watched.values()):
            self._end(watched)

    def _end(self, watched: _Watched) -> None:
        for subscription in list(watched.subscriptions):
            subscription.end()


def files_of(layout: Layout, latest: JobSnapshot) -> tuple[int, ...]:
    """What would differ if a job had changed: its file, progress and preview, and its images' folder."""
    job = latest.job
    images = layout.image(image_folder(image_id(job.order, 1)))
    paths = (layout.job(latest.state, job.id), layout.progress_of(job.id), layout.preview_of(job.id), images)
    return tuple(stamp(path) for path in paths)


def _leaving(job_id: str) -> str:
    return f"leaving {job_id}"


def stamp(path: Path | str) -> int:
    """Changes whenever the file is replaced, or the directory's names do; 0 where there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return 0
    return hash((status.st_ino, status.st_mtime_ns))
