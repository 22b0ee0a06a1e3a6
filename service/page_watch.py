"""Watching everything that a page shows, for many pages at once: one reading per process, however many watch.

A single poller compares a few `stat` results four times a second, and reads only what changed: the counts and the order
of the jobs from the index, the jobs that run from their files, and the images from the index's own list of changes. So
its cost grows neither with the pages nor with what has ended. Each event is made once and shared by all.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from core.errors import CyberImageError
from outputs.errors import DamagedImage, ImageNotFound
from outputs.sidecar import Sidecar
from service import runner_look
from service.active_jobs import ActiveJobs, JobOrder
from service.services import Services
from service.snapshot import JobSnapshot, QueueSnapshot, RunnerSnapshot
from service.snapshot_reader import SnapshotReader
from service.watch import INTERVAL

logger = logging.getLogger(__name__)

#: Turns of the poller between two looks at the runners.
_RUNNER_TURNS: Final = 2
#: Images that are read at once; more wait for the next turn.
_IMAGES_AT_ONCE: Final = 200
#: Events that are kept for a page that takes none; with more it must begin again.
_MOST_KEPT: Final = 2000


class RemovedImage(NamedTuple):
    """An image is gone."""

    id: str


#: What events tell.
Told = QueueSnapshot | RunnerSnapshot | JobOrder | JobSnapshot | Sidecar | RemovedImage


class Event(NamedTuple):
    """Something that a page shows, as it is sent; a later one with the same key (`job <id>`) replaces it."""

    key: str
    content: bytes


class PageSubscription:
    """One page's view: the latest of each thing that it was not told yet, never a growing list."""

    def __init__(self) -> None:
        self._news = threading.Event()
        self._lock = threading.Lock()
        self._kept: dict[str, Event] = {}
        self.is_over = False

    def wait(self, timeout: float) -> list[Event]:
        """What is news; nothing after `timeout` seconds, or when watching is over."""
        self._news.wait(timeout)
        with self._lock:
            self._news.clear()
            kept, self._kept = self._kept, {}
        return list(kept.values())

    def publish(self, events: Iterable[Event]) -> None:
        """Put news in; what they replace and nobody took is dropped."""
        with self._lock:
            for event in events:
                self._kept.pop(event.key, None)
                self._kept[event.key] = event
            self._news.set()
            if len(self._kept) > _MOST_KEPT:
                self._kept.clear()
                self.is_over = True

    def end(self) -> None:
        """Nothing more will come: the server stops, or the page must begin again."""
        self.is_over = True
        self._news.set()


class PageWatcher:
    """Watches one data directory, in one process. Its poller runs only while somebody watches.

    `render` makes what is sent; `is_stopping` returns whether the process is about to end: then all subscriptions end.
    """

    def __init__(
        self,
        services: Services,
        reader: SnapshotReader,
        render: Callable[[Told], Event],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._services = services
        self._render = render
        self._is_stopping = is_stopping
        self._active = ActiveJobs(services, reader)
        self._images = _ImageChanges(services)
        self._subscriptions: set[PageSubscription] = set()
        #: The present state, as a page that comes now is told it.
        self._state: dict[str, Event] = {}
        self._turn = 0
        self._lock = threading.Lock()
        self._poller: threading.Thread | None = None
        #: What failed at the last try, by what was tried.
        self._failures: dict[str, str] = {}

    @contextmanager
    def watch(self) -> Iterator[PageSubscription]:
        """A subscription, in which the whole present state is already."""
        subscription = PageSubscription()
        with self._lock:
            if self._poller is None:
                self._begin()
            subscription.publish(self._state.values())
            self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def _begin(self) -> None:
        self._state.clear()
        self._turn = 0
        self._active.begin()
        self._images.begin()
        self._look()
        self._poller = threading.Thread(target=self._poll, name="page-watcher", daemon=True)
        self._poller.start()

    def _poll(self) -> None:
        try:
            while not self._is_stopping():
                time.sleep(INTERVAL)
                with self._lock:
                    if not self._subscriptions:
                        self._poller = None
                        return
                    self._look()
        finally:  # should it fail, the pages connect again, and find another poller
            with self._lock:
                if self._poller is threading.current_thread():
                    self._poller = None
                    self._end_all()

    def _look(self) -> None:
        """Read what changed, and tell it."""
        if self._turn % _RUNNER_TURNS == 0:
            self._try("the runner", self._look_at_runner)
        self._turn += 1
        self._try("the jobs", self._look_at_jobs)
        self._try("the images", self._look_at_images)

    def _try(self, what: str, look: Callable[[], None]) -> None:
        """The next turn tries again; what keeps on failing is logged once."""
        try:
            look()
        except (CyberImageError, OSError) as error:
            if self._failures.get(what) != str(error):
                logger.warning("Pages cannot be told of %s now; trying again: %s", what, error)
            self._failures[what] = str(error)
        else:
            self._failures.pop(what, None)

    def _look_at_runner(self) -> None:
        self._tell([runner_look.look(self._services.layout)])

    def _look_at_jobs(self) -> None:
        told = self._active.look()
        self._tell(told)
        listed = {f"job {job_id}" for job_id in self._active.listed}
        for key in [key for key in self._state if key.startswith("job ") and key not in listed]:
            del self._state[key]

    def _look_at_images(self) -> None:
        changed = self._images.look()
        if changed is None:
            self._end_all()
        else:
            self._publish([self._render(told) for told in changed])

    def _tell(self, told: Iterable[Told]) -> None:
        """Make events of what is told, and publish those that are news."""
        events = [event for event in map(self._render, told) if self._state.get(event.key) != event]
        self._state.update({event.key: event for event in events})
        self._publish(events)

    def _publish(self, events: list[Event]) -> None:
        if events:
            for subscription in list(self._subscriptions):
                subscription.publish(events)

    def _end_all(self) -> None:
        for subscription in list(self._subscriptions):
            subscription.end()
        self._subscriptions.clear()


class _ImageChanges:
    """Which images came, went or were changed, from the list that the index keeps of it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._last = 0
        self._generation = 0

    def begin(self) -> None:
        """What changes from now on is news."""
        self._generation = 0

    def look(self) -> list[Told] | None:
        """The images that have changed since the last look; None where that is not known any more."""
        index = self._services.images
        generation = _inode(index.file.path)
        if not generation:
            return []
        if generation != self._generation:
            is_first, self._generation = not self._generation, generation
            self._last = index.last_change()
            return [] if is_first else None
        changes = index.changes(self._last, _IMAGES_AT_ONCE)
        if not changes:
            return []
        is_gap = changes[0].number != self._last + 1
        self._last = changes[-1].number
        return None if is_gap else [self._told(image_id) for image_id in {change.image_id: None for change in changes}]

    def _told(self, image_id: str) -> Told:
        try:
            return self._services.store.sidecar(image_id)
        except (ImageNotFound, DamagedImage):
            return RemovedImage(image_id)


def _inode(index: Path) -> int:
    """Another one whenever the index was built anew; 0 where there is none."""
    try:
        return os.stat(index).st_ino
    except FileNotFoundError:
        return 0
