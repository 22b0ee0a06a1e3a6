"""Locks between processes: advisory, and gone with their holder, however it ends."""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

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


#: struct flock of fcntl(2): type, whence, start, length, process; open file description locks want 0 as the process.
_RANGE: Final = struct.Struct("hhqqi0q")
_NAMES: Final = 2**62


class Presence:
    """Who attends to something named, over all processes: a shared lock of one byte of the file `path`.

    The byte follows from the name, so that there is no file per name to be made or removed, and nothing is left when
    a process ends, however it ends. The file must exist; it is neither read nor changed. For names that fall together,
    once in 2**62 pairs, somebody seems to be there who is not. The locks are open file description locks (Linux): they
    belong to this object rather than to the process, and do not touch flocks of the same file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._present: Counter[int] = Counter()
        #: Open while anybody is present.
        self._descriptor = -1

    @contextmanager
    def attend(self, name: str) -> Iterator[None]:
        """Be there, within the context; as often at once as one likes. Raises OSError."""
        byte = _byte_of(name)
        self._enter(byte)
        try:
            yield
        finally:
            self._leave(byte)

    def others(self, name: str, own: int = 0) -> bool:
        """Whether more than `own` contexts of this object attend to `name`, or any of another one. Raises OSError."""
        byte = _byte_of(name)
        with self._guard:
            if self._present[byte] > own:
                return True
            if self._present:
                return _is_taken(self._descriptor, byte)
        descriptor = self._open()
        try:
            return _is_taken(descriptor, byte)
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)

    def _enter(self, byte: int) -> None:
        with self._guard:
            if not self._present:
                self._descriptor = self._open()
            self._present[byte] += 1
            if self._present[byte] == 1:
                fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _range(fcntl.F_RDLCK, byte))

    def _leave(self, byte: int) -> None:
        with self._guard:
            self._present[byte] -= 1
            if not self._present[byte]:
                del self._present[byte]
                fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _range(fcntl.F_UNLCK, byte))
            if not self._present:
                os.close(self._descriptor)


def _is_taken(descriptor: int, byte: int) -> bool:
    found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _range(fcntl.F_WRLCK, byte))
    return bool(_RANGE.unpack(found)[0] != fcntl.F_UNLCK)


def _byte_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % _NAMES


def _range(kind: int, byte: int) -> bytes:
    return _RANGE.pack(kind, os.SEEK_SET, byte, 1, 0)
