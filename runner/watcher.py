"""File events as a doorbell. They may fail in many ways; the supervisor's scan is what finds every job.

Watched are the bell, which submitters touch, and the drop zone. `pending/` is not: watchdog holds back
each unpaired move out of a watched directory for half a second, and every claim is such a move.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from watchdog.events import FileClosedEvent, FileCreatedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

logger = logging.getLogger(__name__)

_Identity = tuple[int, int]


class _Ringer(FileSystemEventHandler):  # type: ignore[misc]  # watchdog is not followed by mypy
    """Calls `ring`; a handler that raises would end the observer's thread, so it does nothing else."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._ring()


class Watcher:
    """Calls a function for each event in some folders.

    `folders` maps a folder to the function to call, from another thread; it must not raise or block.
    """

    def __init__(self, folders: dict[Path, Callable[[], None]]) -> None:
        self._folders = folders
        self._observer: BaseObserver | None = None
        self._watched: dict[Path, _Identity] = {}
        self._warned = False

    @property
    def is_watching(self) -> bool:
        """Whether events may come."""
        return self._observer is not None

    def check(self) -> None:
        """Watch, and watch anew what was replaced, remounted or gave up. Called at every scan."""
        now = {folder: identity for folder in self._folders if (identity := _identity(folder))}
        if self._observer is not None and self._observer.is_alive() and now == self._watched:
            return
        if self._observer is not None:
            logger.info("A watched folder was replaced; watching it anew.")
        self.stop()
        self._watched = now
        self._start()

    def stop(self) -> None:
        """End watching."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=5)
            self._observer = None

    def _start(self) -> None:
        observer = Observer()
        kinds: list[type[FileSystemEvent]] = [FileClosedEvent, FileCreatedEvent, FileMovedEvent]
        try:
            for folder in self._watched:
                observer.schedule(_Ringer(self._folders[folder]), str(folder), event_filter=kinds)
            observer.start()
        except OSError as error:  # the kernel's limits of watches or instances
            observer.unschedule_all()
            self._warn_once(error)
            return
        self._observer = observer

    def _warn_once(self, error: OSError) -> None:
        if not self._warned:
            logger.warning("No file events (%s); jobs are found by scanning alone.", error)
            self._warned = True


def _identity(folder: Path) -> _Identity | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
