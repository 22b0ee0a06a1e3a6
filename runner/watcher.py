"""File events as a doorbell. They may fail in many ways; the supervisor's scan is what finds every job.

Watched are the bell, which submitters touch, and the drop zone. Events are read with watchdog's inotify
classes, but in the supervisor's own loop. watchdog's Observer would pass each one through three threads
and hold back every unpaired move out of a watched directory for half a second (every claim is such a move).
"""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyEvent, InotifyFD, Mask, WatchDescriptor

logger = logging.getLogger(__name__)

#: A file is complete: it was written and closed, moved in, or linked.
_ARRIVALS: Final = Mask(
    InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_CREATE
    | InotifyConstants.IN_DONT_FOLLOW
)


class _Descriptor(InotifyFD):
    """watchdog's inotify descriptor without its thread: whoever waits for `fileno()` calls `take`."""

    def __init__(self) -> None:
        super().__init__()
        self._is_reading = False  # so that `close` gives the descriptors back itself

    def fileno(self) -> int:
        """Readable when there are events."""
        return int(self._inotify_fd)

    def take(self) -> None:
        """Pass on the events that are there; waits if there are none."""
        for event in self.read_events():
            self.handle_event(event)


class _Bell:
    """What is known of one watched folder; a callback in the sense of watchdog's WatchCallback."""

    def __init__(self) -> None:
        self.signalled = False
        #: Device and inode of the folder that is watched, and the watch; None where there is none.
        self.identity: tuple[int, int] | None = None
        self.watch: WatchDescriptor | None = None

    def on_event(self, event: InotifyEvent) -> None:
        """Something arrived."""
        self.signalled = True

    def on_queue_overflow(self) -> None:
        """Events were lost; they may have been ours."""
        self.signalled = True

    def on_watch_deleted(self, watch: WatchDescriptor) -> None:
        """The folder is gone; one with the same inode may follow, so it is to be watched again."""
        if watch == self.watch:
            self.identity = self.watch = None


class Watcher:
    """Waits for files to arrive in some folders. `fileno()` is readable then, and `heard` tells where."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._bells = {folder: _Bell() for folder in folders}
        self._descriptor: _Descriptor | None = None
        # Stays the same to wait for, though the kernel may give the inner descriptor later only.
        self._poller = select.epoll()
        self._warned = False

    @property
    def is_watching(self) -> bool:
        """Whether events may come."""
        return any(bell.watch is not None for bell in self._bells.values())

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._poller.fileno()

    def drain(self) -> set[Path]:
        """The folders in which something arrived since the last call. Never waits."""
        self._read()
        rung = {folder for folder, bell in self._bells.items() if bell.signalled}
        for folder in rung:
            self._bells[folder].signalled = False
        return rung

    def check(self) -> None:
        """Watch what is not watched yet, and whatever was replaced or remounted. Called at every scan."""
        self._read()
        try:
            descriptor = self._open()
            for folder, bell in self._bells.items():
                _watch(descriptor, folder, bell)
        except OSError as error:  # the kernel's limits of watches or instances
            self._warn_once(error)

    def close(self) -> None:
        """End watching."""
        if self._descriptor is not None:
            self._descriptor.close()
        self._poller.close()

    def _open(self) -> _Descriptor:
        if self._descriptor is None:
            self._descriptor = _Descriptor()
            self._poller.register(self._descriptor, select.EPOLLIN)
        return self._descriptor

    def _read(self) -> None:
        if self._descriptor is not None and self._poller.poll(0):
            self._descriptor.take()

    def _warn_once(self, error: OSError) -> None:
        if not self._warned:
            logger.warning("No file events (%s); jobs are found by scanning alone.", error)
            self._warned = True


def _watch(descriptor: _Descriptor, folder: Path, bell: _Bell) -> None:
    """Watch the folder that is there now; nothing to do if it is the one that is watched."""
    identity = _identity(folder)
    if identity == bell.identity:
        return
    if bell.watch is not None:
        logger.info("%s was replaced; watching it again.", folder)
        descriptor.remove_callbacks([(bell.watch, CallbackId(id(bell)))])
    bell.identity = bell.watch = None
    if identity is not None:
        with suppress(FileNotFoundError):  # removed just now; the next scan looks again
            bell.watch = descriptor.add_callback(os.fsencode(folder), _ARRIVALS, bell, CallbackId(id(bell)))
            bell.identity = identity


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
