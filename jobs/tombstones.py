"""Which images of living jobs were deleted: a later attempt must not draw them again.

A tombstone is an empty file `<image id>.<job id>` in `spool/deleted`. It is durable before the image goes, and
stays until the job has ended. The image id is part of the name, so that a job that gets the id of one
that somebody removed inherits nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from core import files


class Tombstones:
    """The tombstones of one spool. Nearly always there are none, so that a listing costs next to nothing."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self._folder = folder
        self._temporary = temporary

    def put(self, image_id: str, job_id: str) -> None:
        """Note durably that this image is to stay deleted; idempotent. Raises OSError."""
        files.replace(self._folder / f"{image_id}.{job_id}", b"", self._temporary, name="tombstone")

    def has(self, image_id: str) -> bool:
        """Whether this image was deleted while its job was living."""
        return any(name.startswith(f"{image_id}.") for name in self._names())

    def remove(self, job_id: str) -> None:
        """Forget the tombstones of a job that has ended; not synced, since the next sweep would remove them again."""
        for name in self._names():
            if self.job_of(name) == job_id:
                (self._folder / name).unlink(missing_ok=True)

    @staticmethod
    def job_of(name: str) -> str:
        """The job id in the name of a tombstone."""
        return name.partition(".")[2]

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._folder)
        except FileNotFoundError:
            return []
