"""Locks between processes: advisory, and gone with their holder, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from core import rights


class ExclusiveLock:
    """An advisory lock that ends with its process, however the process ends.

    The kernel drops a flock when the last descriptor closes, so "is it held" needs no clock and no
    heartbeat. The settings of filelock are deliberate: `thread_local=False` so that any thread of the
    holder may release it, `fallback_to_soft=False` so that a file system without flock is an error
    and not a silent lease.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._lock = FileLock(
            path, mode=_mode(path), thread_local=False, fallback_to_soft=False, on_acquired=self._remember
        )

    def _remember(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def acquire(self, timeout: float = 0) -> bool:
        """Take the lock within `timeout` seconds; False if another process holds it.

        Raises FileNotFoundError where its folder is missing, which filelock would make, also on a volume that is not
        mounted.
        """
        os.stat(self.path.parent)
        try:
            self._lock.acquire(timeout=timeout, poll_interval=0.01)
        except Timeout:
            return False
        return True

    def is_intact(self) -> bool:
        """Whether the file at `path` is still the one that is locked (nobody removed it by hand)."""
        if not self._lock.is_locked:
            return False
        try:
            here = os.stat(self.path)
        except FileNotFoundError:
            return False
        mine = os.fstat(self._descriptor)
        return (here.st_dev, here.st_ino) == (mine.st_dev, mine.st_ino)

    def discard(self) -> None:
        """Remove the lock file while holding it, then let go. Waiters notice and open a new one."""
        self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let go; the file stays, since removing it would let two holders in."""
        self._lock.release(force=True)


def _mode(path: Path) -> int:
    """Whoever may take a lock must be able to open its file, and nobody else need be."""
    try:
        return 0o660 if rights.is_shared(path.parent) else 0o600
    except FileNotFoundError:  # said when the lock is taken
        return 0o600


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock at `path`.

    Probes with a shared lock on a read-only descriptor, so that probes do not disturb each other
    and work on a read-only file system; the file is never created.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold an exclusive flock on a directory: those who change the same files in it do so one after the other.

    Makes no file, so it works on a full disk. Raises FileNotFoundError where the directory is missing.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked_counter(path: Path) -> Iterator[int]:
    """Hold a descriptor of a small file under an exclusive flock: a counter that all processes share."""
    descriptor = rights.open_for_writing(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
