"""Files that are either whole or absent: the only module that writes, renames and syncs.

The rules behind it: a reader must never see half a file, and what was acknowledged must survive a
power cut. So every write goes to a temporary file, is synced, becomes visible by `link` (a new name)
or `rename` (a replacement), and the directory that holds the name is synced before anybody is told.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from core import rights
from core.failpoints import failpoint

logger = logging.getLogger(__name__)

#: Bytes that a probe of the disk writes: no fewer than a job, and more than an inode could hold.
_PROBE: Final = 4096

#: What the kernel answers when there is no room or no working disk. The caller may try again later.
STORAGE_ERRNOS: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EFBIG}
)


#: What it answers where our own files and folders are gone or belong to somebody else: a volume that is not mounted,
#: a program that runs as another user. Elsewhere (a dropped file, weights) the same may concern one file only.
ACCESS_ERRNOS: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENOTCONN, errno.ESTALE}
)


def is_storage_error(error: OSError) -> bool:
    """Whether `error` says that the storage, not the request, is at fault."""
    return error.errno in STORAGE_ERRNOS


def is_out_of_reach(error: OSError) -> bool:
    """Whether `error`, about a path of ours, says that the data directory is gone or may not be used."""
    return error.errno in ACCESS_ERRNOS


def sync_directory(directory: Path | str) -> None:
    """Make the names in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create(path: Path | str, content: bytes, temporary: Path, *, name: str = "file") -> None:
    """Publish a new file at `path`, durably.

    Raises FileExistsError if the name is taken, and OSError from the storage; in both cases nothing
    that this call wrote stays behind. `temporary` is a directory on the same file system. `name`
    labels the failpoints.
    """
    _publish(os.link, path, content, temporary, name)


def create_unique(path: Path | str, content: bytes, temporary: Path, *, name: str = "file") -> None:
    """As `create`, for a name that nobody else can have chosen: one rename instead of a link and an unlink."""
    _publish(os.rename, path, content, temporary, name)


def _publish(
    show: Callable[[str, Path | str], None], path: Path | str, content: bytes, temporary: Path, name: str
) -> None:
    with _draft(content, temporary, name=name, durable=True) as draft:
        show(draft, path)
        failpoint(f"{name}.linked")
        _sync_new_name(path)
    failpoint(f"{name}.synced")


def replace(path: Path, content: bytes, temporary: Path, *, durable: bool = True, name: str = "file") -> None:
    """Put `content` in place of whatever is at `path`; readers see the old bytes or the new ones.

    With `durable=False` (progress, previews) nothing is synced: after a power cut the file may be old.
    """
    with _draft(content, temporary, name=name, durable=durable) as draft:
        os.rename(draft, path)
        failpoint(f"{name}.renamed")
    if durable:
        sync_directory(path.parent)
        failpoint(f"{name}.synced")


def move(source: Path, target: Path, *, name: str = "move") -> None:
    """Rename between two directories of one file system, durably; the target directory is synced first."""
    failpoint(f"{name}.before")
    os.rename(source, target)
    failpoint(f"{name}.renamed")
    sync_directory(target.parent)
    failpoint(f"{name}.target_synced")
    sync_directory(source.parent)


def check_writable(temporary: Path) -> None:
    """Raise OSError if no file can be written and synced in `temporary`, by doing so.

    Nothing less tells: root bypasses permissions, ext4 refuses writes without turning its mount read-only, and
    a full disk still takes a name without bytes.
    """
    with _draft(bytes(_PROBE), temporary, name="probe", durable=True):
        pass


def unlink(path: Path, *, missing_ok: bool = True) -> bool:
    """Remove `path` durably; answer whether it was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        if not missing_ok:
            raise
        return False
    sync_directory(path.parent)
    return True


class NotRegularFile(ValueError):
    """The path leads to something that is not a regular file."""


class FileTooLarge(ValueError):
    """The file is larger than its reader allows."""


def read(path: Path | str, *, limit: int | None = None) -> bytes:
    """The bytes of a regular file.

    Never follows a symbolic link and never blocks on a FIFO or device. Raises FileNotFoundError,
    NotRegularFile, FileTooLarge (for more than `limit` bytes).
    """
    return read_with_status(path, limit=limit)[0]


def read_with_status(path: Path | str, *, limit: int | None = None) -> tuple[bytes, os.stat_result]:
    """As `read`, with the state of the file just before it was read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a symbolic link, a socket
            raise NotRegularFile("not a regular file") from error
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotRegularFile("not a regular file")
        if limit is not None and status.st_size > limit:
            raise FileTooLarge(f"{status.st_size} bytes are more than the {limit} that are allowed")
        return _read_all(descriptor, status.st_size + 1), status
    finally:
        os.close(descriptor)


def _read_all(descriptor: int, hint: int) -> bytes:
    """Read to the end; one call where the size is as expected."""
    data = os.read(descriptor, hint)
    if len(data) < hint:
        return data
    parts = [data]
    while data := os.read(descriptor, 1 << 20):
        parts.append(data)
    return b"".join(parts)


@contextmanager
def _draft(content: bytes, temporary: Path, *, name: str, durable: bool) -> Iterator[str]:
    """A whole file under a name of its own, locked until its name is gone again: see `sweep`."""
    failpoint(f"{name}.before")
    draft, descriptor = _open_draft(temporary)
    try:
        _write_all(descriptor, content)
        failpoint(f"{name}.written")
        if durable:
            os.fsync(descriptor)
        failpoint(f"{name}.draft_synced")
        yield draft
    finally:
        with suppress(OSError):  # renamed; or left for the sweep, since the first error is the one to report
            os.unlink(draft)
        os.close(descriptor)


def _open_draft(temporary: Path) -> tuple[str, int]:
    while True:
        draft = f"{temporary}/{uuid4().hex}"
        mode = rights.file_mode(temporary)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            status = os.fstat(descriptor)
            if status.st_nlink:
                rights.set_mode(descriptor, mode, status)
                return draft, descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # swept between its creation and its lock


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_new_name(path: Path | str) -> None:
    """Sync the directory of a name just linked; take the name back if that fails."""
    try:
        sync_directory(Path(path).parent)
    except OSError:
        _take_back(path)
        raise


def _take_back(path: Path | str) -> None:
    try:
        _remove(path)
        sync_directory(Path(path).parent)
    except OSError as error:
        logger.error("The outcome is unknown: %s was refused by the disk, but may be there later (%s).", path, error)


def _remove(path: Path | str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def sweep(temporary: Path) -> int:
    """Remove the drafts of dead writers; returns how many.

    A living writer holds a lock on its draft, and the kernel knows that across containers, where
    process ids mean nothing. What is not a draft of ours (a folder, a link, a file that may not be opened) stays.
    """
    removed = 0
    for entry in os.scandir(temporary):
        try:
            removed += _sweep_draft(Path(entry.path))
        except OSError as error:
            logger.warning("%s is no draft of this program and stays: %s", entry.path, error.strerror)
    return removed


def _sweep_draft(draft: Path) -> bool:
    try:
        descriptor = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(draft)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def ring(path: Path | str) -> None:
    """Open a file for writing and close it again: an event for whoever watches its directory."""
    os.close(rights.open_for_writing(path))
