"""Whether another job can be taken: the cap on pending jobs and the reserve of free disk space."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from jobs.errors import QueueFull, StorageUnavailable

#: Seconds for which a count of the pending jobs is good enough; listing a deep queue costs milliseconds.
_COUNT_AGE: Final = 1.0
#: So near to the cap every look counts again.
_NEAR: Final = 100


class Room:
    """The room left in a spool. Limits: pending jobs, and bytes of the file system that stay free."""

    def __init__(self, pending: Path, *, max_pending: int, reserve_bytes: int) -> None:
        self._pending = pending
        self._max_pending = max_pending
        self._reserve_bytes = reserve_bytes
        self._counted = (float("-inf"), 0)

    def check(self) -> None:
        """Raise QueueFull or StorageUnavailable if no further job can be taken now."""
        if self.pending_count() >= self._max_pending:
            raise QueueFull(self._max_pending)
        if not self.has_space():
            raise StorageUnavailable(
                f"Less than the reserve of {self._reserve_bytes >> 20} MiB is free on the disk; nothing was stored."
            )

    def has_space(self) -> bool:
        """Whether more free space is left than the reserve."""
        return self.free_bytes() >= self._reserve_bytes

    def free_bytes(self) -> int:
        """Free space of the file system, as an ordinary user may use it."""
        status = os.statvfs(self._pending)
        return status.f_bavail * status.f_frsize

    def pending_count(self) -> int:
        """How many jobs are pending; what other processes did may be a second late."""
        moment, count = self._counted
        now = time.monotonic()
        if now - moment > _COUNT_AGE or count + _NEAR > self._max_pending:
            count = sum(1 for name in os.listdir(self._pending) if name.endswith(".json"))
            self._counted = (now, count)
        return count

    def taken(self) -> None:
        """Count a job that was stored just now."""
        moment, count = self._counted
        self._counted = (moment, count + 1)
