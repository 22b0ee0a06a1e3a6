"""The folder `rejected/`: refused drops, byte for byte, each beside a record that says what is wrong."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from core import files
from core.failpoints import failpoint
from jobs.ids import timestamp
from jobs.pictures import MOST_BYTES
from jobs.schema import encode

REASON_SUFFIX: Final = ".reason.json"
#: File names have at most 255 bytes on Linux; the suffix and a number must fit.
_NAME_BYTES: Final = 255 - len(REASON_SUFFIX) - 8
#: Why `link` may be refused although a copy would do: another file system, a file of another owner
#: (the kernel's protected_hardlinks), too many links, a file system without links.
_NO_LINK: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP})


class Reason(Struct, frozen=True, kw_only=True):
    """Why a drop was refused or left alone: the error form of the API, and which file it was."""

    status: Literal["error"] = "error"
    #: The name of the dropped file; bytes that are not UTF-8 are written as `\\xNN`.
    file: str
    #: The dotted path of the offending field; empty for the file itself.
    field: str = ""
    message: str
    refused_at: str


class RejectedFolder:
    """Takes refused drops in. `temporary` is a directory on the same file system as `folder`."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self._folder = folder
        self._temporary = temporary

    def take(self, drop: Path, status: os.stat_result, message: str, field: str = "") -> bool:
        """Move the drop that `status` describes here, with its reason; False if another file is there by now.

        May be killed at any point and called again. The drop is linked or copied, never renamed, so
        that it stays in sight until what was kept of it is durable. Raises OSError.
        """
        home = self._keep(drop, status)
        if home is None:
            return False
        failpoint("reject.kept")
        self._record(home, drop, message, field)
        remove_drop(drop, status)
        failpoint("reject.removed")
        return True

    def take_directory(self, drop: Path, message: str) -> bool:
        """As `take`, for a directory, which can only be renamed: after a crash its reason may be missing."""
        for home in self._homes(drop):
            if os.path.lexists(home) or os.path.lexists(_reason_path(home)):
                continue
            os.rename(drop, home)
            failpoint("reject.kept")
            self._record(home, drop, message, "")
            return True
        raise AssertionError("the numbered names never end")

    def note(self, drop: Path, message: str) -> Path:
        """Record why a drop is left where it is; returns the path of the record, which is made only once."""
        for home in self._homes(drop):
            reason = _reason_path(home)
            if os.path.lexists(home):
                continue
            if not os.path.lexists(reason):
                self._record(home, drop, message, "")
            elif not _says(reason, drop, message):
                continue
            return reason
        raise AssertionError("the numbered names never end")

    def _keep(self, drop: Path, status: os.stat_result) -> Path | None:
        """Link or copy the drop to a name of its own; None if the drop has changed."""
        for home in self._homes(drop):
            if not os.path.lexists(home) and os.path.lexists(_reason_path(home)):
                continue
            with suppress(FileExistsError):
                self._place(drop, home)
            if _same_file(home, status) or _is_unfinished_copy(home, drop):
                return home
            if not _same_file(drop, status):
                return None
        raise AssertionError("the numbered names never end")

    def _place(self, drop: Path, home: Path) -> None:
        try:
            os.link(drop, home, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            # A file too large to be copied raises FileTooLarge here, and stays where it is.
            files.create(home, files.read(drop, limit=MOST_BYTES), self._temporary, name="reject")

    def _record(self, home: Path, drop: Path, message: str, field: str) -> None:
        reason = Reason(file=shown_name(drop.name), field=field, message=message, refused_at=timestamp())
        with suppress(FileExistsError):  # an earlier try came as far as this
            files.create(_reason_path(home), encode(reason), self._temporary, name="reason")

    def _homes(self, drop: Path) -> Iterator[Path]:
        """The drop's own name, cut so that its reason fits, then the same with a number."""
        stem, extension = os.path.splitext(os.fsencode(drop.name))
        extension = extension[:32]
        stem = stem[: _NAME_BYTES - len(extension)]
        yield self._folder / os.fsdecode(stem + extension)
        for number in itertools.count(2):
            yield self._folder / os.fsdecode(b"%s-%d%s" % (stem, number, extension))


def remove_drop(drop: Path, status: os.stat_result) -> bool:
    """Remove a dropped file unless another one has taken its name meanwhile; returns whether it is gone.

    Not synced: a drop that comes back after a power cut is recognised.
    """
    if not _same_file(drop, status):
        return not os.path.lexists(drop)
    with suppress(FileNotFoundError):
        os.unlink(drop)
    return True


def shown_name(name: str) -> str:
    """A file name as text that can be printed and encoded."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _reason_path(home: Path) -> Path:
    return home.with_name(home.name + REASON_SUFFIX)


def _same_file(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(path), status)
    except FileNotFoundError:
        return False


def _is_unfinished_copy(home: Path, drop: Path) -> bool:
    """Whether `home` is a copy of a drop that could not be linked, made just now or before a crash."""
    if os.path.lexists(_reason_path(home)):
        return False
    try:
        return files.read(home, limit=MOST_BYTES) == files.read(drop, limit=MOST_BYTES)
    except (FileNotFoundError, ValueError):
        return False


def _says(reason: Path, drop: Path, message: str) -> bool:
    try:
        found = msgspec.json.decode(files.read(reason), type=Reason)
    except (OSError, ValueError):
        return False
    return (found.file, found.message) == (shown_name(drop.name), message)
