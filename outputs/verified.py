"""Which files were compared with their checksums, so that each is hashed once per process and not at every request."""

from __future__ import annotations

import hashlib
import os
import time
from io import BufferedReader
from typing import Final

from outputs.damage import Fingerprint, fingerprint

#: Files that a process remembers, at some 400 bytes each.
_LIMIT: Final = 10_000
#: A file changed so recently may change again within the clock tick of the file system.
_SETTLED_NS: Final = 100_000_000


class VerifiedFiles:
    """What this process found whole. Any thread may use it."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._known: dict[str, tuple[Fingerprint, str]] = {}

    def holds(self, image_id: str, stream: BufferedReader, sha256: str) -> bool:
        """Whether exactly this file was found to have this checksum."""
        return self._known.get(image_id) == (fingerprint(os.fstat(stream.fileno())), sha256)

    def has_checksum(self, image_id: str, stream: BufferedReader, sha256: str) -> bool:
        """Read the whole file and compare; remembers one that has the checksum. Raises OSError.

        Leaves the stream at its beginning. Hashing lets other threads run.
        """
        before = os.fstat(stream.fileno())
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        if found != sha256:
            return False
        if fingerprint(before) == fingerprint(os.fstat(stream.fileno())) and _is_settled(before):
            self._remember(image_id, fingerprint(before), sha256)
        return True

    def _remember(self, image_id: str, found: Fingerprint, sha256: str) -> None:
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[image_id] = found, sha256


def _is_settled(status: os.stat_result) -> bool:
    return abs(time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns)) > _SETTLED_NS
