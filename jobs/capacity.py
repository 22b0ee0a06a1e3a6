"""Whether another job can be taken: the cap on pending jobs and the reserve of free disk space."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from core.errors import StorageUnavailable
from jobs.errors import QueueFull

#: Seconds for which a count of the pending jobs is good enough far from the cap.
_COUNT_AGE: Final = 1.0
#: So near to the cap every look is exact.
_NEAR: Final = 100
#: Listing may take this part of the time at most, far from the cap; a deep queue costs milliseconds.
_SHARE: Final = 0.005
#: A directory changed so recently (ns) may change again within the clock tick of the file system.
_SETTLED: Final = 100_000_000


class Capacity:
    """The room left in a spool. Limits: pending jobs, and bytes of the file system that stay free."""

    def __init__(self, pending: Path, *, max_pending: int, reserve_bytes: int) -> None:
        self._pending = pending
        self._max_pending = max_pending
        self._reserve_bytes = reserve_bytes
        self._count = 0
        #: When the next count is due (monotonic seconds).
        self._due = float("-inf")
        #: When the directory had changed before it was counted; None where it may have changed since.
        self._changed: int | None = None

    def check(self) -> None:
        """Raise QueueFull or StorageUnavailable if no further job can be taken now."""
        if self.pending_count() >= self._max_pending:
            raise QueueFull(self._max_pending)
        self.check_space()

    def check_space(self) -> None:
        """Raise StorageUnavailable where no more free space is left than the reserve."""
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
        """How many jobs are pending; what other processes did may be a second late, but not near the cap.

        So a full queue, which many clients may knock at, is not listed for each of them.
        """
        is_near = self._count + _NEAR > self._max_pending
        if (is_near or time.monotonic() >= self._due) and self._changed != os.stat(self._pending).st_ctime_ns:
            self._list()
        return self._count

    def _list(self) -> None:
        changed = os.stat(self._pending).st_ctime_ns
        began = time.monotonic()
        self._count = sum(1 for name in os.listdir(self._pending) if name.endswith(".json"))
        ended = time.monotonic()
        self._due = ended + max(_COUNT_AGE, (ended - began) / _SHARE)
        self._changed = changed if abs(time.time_ns() - changed) > _SETTLED else None

    def taken(self) -> None:
        """Count a job that was stored just now."""
        self._count += 1
