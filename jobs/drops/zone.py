"""What lies in `incoming/`: which files concern us, what they are, and what is remembered of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

JOB_SUFFIX: Final = ".json"
CANCEL_SUFFIX: Final = ".cancel"

_KINDS: Final = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

#: What tells a changed file from an unchanged one: inode, size, time of the data, time of the inode.
Signature = tuple[int, int, int, int]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Drop:
    """A file in `incoming/`, as it was when it was looked at."""

    path: Path
    status: os.stat_result

    @property
    def name(self) -> str:
        """The file name; bytes that are not UTF-8 are surrogates in it."""
        return self.path.name

    @property
    def signature(self) -> Signature:
        """Differs once the file has changed."""
        status = self.status
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    @property
    def is_regular(self) -> bool:
        """Whether it is a file that can be read without side effects."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_offered(self) -> bool:
        """Whether its name says that it is for us. What else lies here may be an editor's, or half a transfer."""
        return self.name.lower().endswith((JOB_SUFFIX, CANCEL_SUFFIX))

    @property
    def is_cancel_request(self) -> bool:
        """Whether its name says that it asks to cancel a job."""
        return self.name.lower().endswith(CANCEL_SUFFIX)

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return _KINDS.get(stat.S_IFMT(self.status.st_mode), "something unknown")


class PerFileState(Generic[Value]):
    """One value per file, forgotten as soon as the file changes."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[Signature, Value]] = {}

    def get(self, drop: Drop) -> Value | None:
        """The value of this very state of the file."""
        signature, value = self._values.get(drop.name, (None, None))
        return value if signature == drop.signature else None

    def put(self, drop: Drop, value: Value) -> None:
        """Remember a value for this state of the file."""
        self._values[drop.name] = (drop.signature, value)

    def pop(self, drop: Drop) -> Value | None:
        """Take the value of a file out, whatever state it belonged to."""
        return self._values.pop(drop.name, (None, None))[1]

    def keep_only(self, names: AbstractSet[str]) -> list[Value]:
        """Forget the files that are gone; returns their values."""
        return [self._values.pop(name)[1] for name in self._values.keys() - names]


def list_drops(folder: Path) -> list[Drop]:
    """What is not hidden, in order of arrival: by `ctime`, which neither a copy nor a move can bring along."""
    with os.scandir(folder) as entries:
        found = [_look_at(entry) for entry in entries if not entry.name.startswith(".")]
    drops = [drop for drop in found if drop is not None]
    return sorted(drops, key=lambda drop: (drop.status.st_ctime_ns, drop.name))


def _look_at(entry: os.DirEntry[str]) -> Drop | None:
    try:
        return Drop(Path(entry.path), entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return None
