"""The store of pictures that came in: `inputs/<first two>/<sha256>.png`, named by their content.

A picture is durable before a job that names it is. Whoever begins to use one touches it, under a lock that the sweep
takes for each removal: so what is touched is never swept within SPARED_SECONDS, and by then the job that names it can
be found. A worker touches what it draws from, too, since a job that goes back and forth between two folders
might be missed in both.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from core import files, rights
from core.errors import CyberImageError
from core.failpoints import failpoint
from core.layout import Layout
from core.locks import locked_counter
from jobs.pictures import input_id, is_input_id
from jobs.schema import State

if TYPE_CHECKING:
    from PIL import Image

#: Seconds for which a picture stays that no job names.
SPARED_SECONDS: Final = 86_400.0
#: Seconds between two sweeps: each reads the files of all jobs, which takes some 0.2 s for ten thousand.
SWEEP_SECONDS: Final = 21_600.0
_FOLDER: Final = re.compile(r"[0-9a-f]{2}", re.ASCII)
_FILE: Final = re.compile(r"([0-9a-f]{64})\.png", re.ASCII)
#: When the last sweep was, in the file that says so: seconds since the epoch.
_TIME: Final = struct.Struct(">d")
_NAMED: Final = re.compile(rb"in_([0-9a-f]{64})")


class InputNotFound(CyberImageError):
    """No picture has this id."""

    def __init__(self, identifier: str) -> None:
        super().__init__(f"No picture that came in has the id {identifier[:80]!r}; it may have been removed.")


class DamagedInput(CyberImageError):
    """The file of a picture is not as it was stored."""

    def __init__(self, identifier: str) -> None:
        super().__init__(f"The file of the picture {identifier} is damaged; send the picture again.")


class StoredInput(Struct, frozen=True, kw_only=True):
    """A picture that came in."""

    id: str
    sha256: str
    width: int
    height: int
    size_bytes: int


class _Old(NamedTuple):
    sha256: str
    path: Path


class InputStore:
    """Holds no open files: safe to use from any thread and process."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def put(self, png: bytes) -> StoredInput:
        """Store a PNG of ours durably; again is fine, and mends a file that is damaged. Raises OSError."""
        found = describe(png)
        path = self.layout.input(found.sha256)
        rights.make_folder(path.parent)
        try:
            files.create(path, png, self.layout.temporary, name="input")
        except FileExistsError:
            self._take_again(path, png)
        files.sync_directory(self.layout.inputs)
        failpoint("input.stored")
        return found

    def _take_again(self, path: Path, png: bytes) -> None:
        """Another request stored the same picture, perhaps just now: make sure that it is whole, durable and spared."""
        if not self._touched(path) or files.read(path) != png:  # swept between two looks
            files.replace(path, png, self.layout.temporary, name="input")
        files.sync_directory(path.parent)

    def use(self, identifier: str) -> None:
        """Keep a picture from being swept while a job that names it is stored; raises InputNotFound, OSError."""
        if not is_input_id(identifier) or not self._touched(self._path(identifier)):
            raise InputNotFound(identifier)
        failpoint("input.used")

    def has(self, identifier: str) -> bool:
        """Whether there is such a picture, perhaps not for long."""
        return is_input_id(identifier) and self._path(identifier).exists()

    def look(self, identifier: str) -> StoredInput:
        """What is known of a picture; raises InputNotFound, DamagedInput, OSError."""
        return describe(self.read(identifier))

    def read(self, identifier: str) -> bytes:
        """The PNG, compared with its checksum; raises InputNotFound, DamagedInput, OSError."""
        if not is_input_id(identifier):
            raise InputNotFound(identifier)
        try:
            png = files.read(self._path(identifier))
        except FileNotFoundError as error:
            raise InputNotFound(identifier) from error
        except files.NotRegularFile as error:
            raise DamagedInput(identifier) from error
        if input_id(hashlib.sha256(png).hexdigest()) != identifier:
            raise DamagedInput(identifier)
        return png

    def picture(self, identifier: str) -> Image.Image:
        """The picture, decoded; as `use` and `read`."""
        from PIL import Image

        self.use(identifier)
        with Image.open(io.BytesIO(self.read(identifier)), formats=("PNG",)) as opened:
            opened.load()
            return opened.copy()

    def sweep(self, now: float | None = None) -> int:
        """Remove pictures that nobody has begun to use for a day and no job names; returns how many. Raises OSError.

        Does something at most once in SWEEP_SECONDS, whoever calls. `now` is in seconds since the epoch.
        """
        now = time.time() if now is None else now
        if not self._is_due(now):
            return 0
        old = [found for found in self._all() if _is_old(found.path, now)]
        named = self._named() if old else frozenset()
        removed = sum(self._remove_unused(found, now) for found in old if found.sha256 not in named)
        with locked_counter(self.layout.inputs_swept) as descriptor:  # last: one that was cut short is made again
            os.pwrite(descriptor, _TIME.pack(now), 0)
        return removed

    def _is_due(self, now: float) -> bool:
        """Whether nobody has swept for a while. Two that do so at once do no harm."""
        with locked_counter(self.layout.inputs_swept) as descriptor:
            last = os.pread(descriptor, _TIME.size, 0)
        return len(last) < _TIME.size or not 0 <= now - _TIME.unpack(last)[0] < SWEEP_SECONDS

    def _remove_unused(self, found: _Old, now: float) -> bool:
        with locked_counter(self.layout.inputs_swept):
            is_removed = _is_old(found.path, now) and files.unlink(found.path)
        failpoint("input.swept")
        return is_removed

    def _touched(self, path: Path) -> bool:
        with locked_counter(self.layout.inputs_swept):
            try:
                os.utime(path)
            except FileNotFoundError:
                return False
        return True

    def _all(self) -> Iterator[_Old]:
        for folder in filter(_FOLDER.fullmatch, os.listdir(self.layout.inputs)):
            for name in os.listdir(self.layout.inputs / folder):
                if match := _FILE.fullmatch(name):
                    yield _Old(match[1], self.layout.inputs / folder / name)

    def _named(self) -> frozenset[str]:
        """What the files of all jobs name, in the order in which jobs move, and those that could not be read as jobs.

        The bytes are searched, so that jobs of newer versions and damaged ones count as well.
        """
        folders = [Path(self.layout.state(state)) for state in State]
        return frozenset(sha256 for folder in (*folders, self.layout.corrupt) for sha256 in _named_in(folder))

    def _path(self, identifier: str) -> Path:
        return self.layout.input(identifier.removeprefix("in_"))


def describe(png: bytes) -> StoredInput:
    """What is known of a PNG of ours: its size stands in its first bytes."""
    sha256 = hashlib.sha256(png).hexdigest()
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
    return StoredInput(id=input_id(sha256), sha256=sha256, width=width, height=height, size_bytes=len(png))


def _is_old(path: Path, now: float) -> bool:
    """Whether nobody has begun to use the file for a day; one from the future was touched before the clock was set."""
    try:
        return abs(now - path.stat().st_mtime) >= SPARED_SECONDS
    except FileNotFoundError:
        return False


def _named_in(folder: Path) -> Iterable[str]:
    for name in os.listdir(folder):
        try:
            content = files.read(folder / name)
        except (FileNotFoundError, files.NotRegularFile):
            continue  # moved on: the folders are read in the order in which jobs move
        yield from (sha256.decode() for sha256 in _NAMED.findall(content))
