"""Which images were found damaged: a small file for each in `spool/damaged`, written by whoever meets the damage.

They are derived: deleted, they are found again as the images are served or scrubbed. A mark goes when its image is
whole again, committed again, or gone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from core import files
from jobs.ids import is_image_id, timestamp
from jobs.schema import encode

logger = logging.getLogger(__name__)

#: Inode, size, and when content and inode last changed (ns); None where there is no file.
Fingerprint = tuple[int, int, int, int] | None


class Mark(Struct, frozen=True, kw_only=True):
    """What is known of one damaged image: why, since when, and which files were looked at."""

    reason: str
    found_at: str
    seen: tuple[Fingerprint, ...]


_decode: Final = msgspec.json.Decoder(Mark).decode


def fingerprint(status: os.stat_result) -> Fingerprint:
    """What changes when a file is written."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def look_at(paths: Iterable[Path]) -> tuple[Fingerprint, ...]:
    """The present fingerprints of some files."""
    return tuple(_fingerprint_of(path) for path in paths)


def _fingerprint_of(path: Path) -> Fingerprint:
    try:
        return fingerprint(os.stat(path))
    except FileNotFoundError:
        return None


class DamageMarks:
    """The marks of one data directory. Nearly always there are none."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self._folder = folder
        self._temporary = temporary

    def put(self, image_id: str, reason: str, seen: tuple[Fingerprint, ...]) -> bool:
        """Mark an image; returns whether anything is news. A disk that cannot take the mark changes nothing else."""
        before = self.read(image_id)
        if before is not None and (before.reason, before.seen) == (reason, seen):
            return False
        mark = Mark(reason=reason, found_at=before.found_at if before else timestamp(), seen=seen)
        try:
            files.replace(self._path(image_id), encode(mark), self._temporary, durable=False, name="damage")
        except OSError as error:
            logger.warning("The damage of image %s could not be noted: %s", image_id, error)
        return True

    def remove(self, image_id: str) -> None:
        """Forget the damage of an image; not synced, since the next look would remove the mark again."""
        with suppress(FileNotFoundError):
            os.unlink(self._path(image_id))

    def has(self, image_id: str) -> bool:
        """Whether an image is marked."""
        return os.path.lexists(self._path(image_id))

    def read(self, image_id: str) -> Mark | None:
        """The mark of an image; None if there is none that can be read."""
        try:
            return _decode(files.read(self._path(image_id)))
        except (OSError, ValueError):
            return None

    def ids(self) -> list[str]:
        """The images that are marked."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return sorted(stem for stem in (name.removesuffix(".json") for name in names) if is_image_id(stem))

    def _path(self, image_id: str) -> Path:
        return self._folder / f"{image_id}.json"
