"""The order of pending jobs: first come, first served, at a cost that does not grow with the queue."""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable

from jobs.errors import CorruptJob
from jobs.schema import Job, State
from jobs.spool import Spool

logger = logging.getLogger(__name__)


class PendingQueue:
    """The pending jobs in order, kept in memory and refreshed from the directory.

    The heap may name jobs that are gone; the claim finds out. A job that is new to the directory is
    read once, for its order and the time before which it must wait. `now` is in seconds since the epoch.
    It may step: a wait is turned into seconds of `monotonic` when the job is read, and cut to `longest_wait`.
    """

    def __init__(
        self,
        spool: Spool,
        now: Callable[[], float] = time.time,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        longest_wait: float = 3600.0,
    ) -> None:
        self._spool = spool
        self._now = now
        self._monotonic = monotonic
        self._longest_wait = longest_wait
        self._heap: list[tuple[str, str]] = []
        self._waiting: list[tuple[float, str, str]] = []
        self._known: set[str] = set()

    def __len__(self) -> int:
        return len(self._known)

    def refresh(self) -> None:
        """Take in what is new in `pending/`, and forget what is gone."""
        present = set(self._spool.ids(State.PENDING))
        for job_id in present - self._known:
            self._add(job_id)
        if len(self._heap) + len(self._waiting) > 2 * len(present) + 100:
            self._rebuild(present)
        self._known = present

    def pop(self) -> str | None:
        """The id of the oldest job that may run now, taken out; None if there is none."""
        self._wake()
        while self._heap:
            _, job_id = heapq.heappop(self._heap)
            if job_id in self._known:
                self._known.discard(job_id)
                return job_id
        return None

    def next_wake(self) -> float | None:
        """When the first waiting job may run (seconds since the epoch)."""
        return self._now() + self._waiting[0][0] - self._monotonic() if self._waiting else None

    def _wake(self) -> None:
        now = self._monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, order, job_id = heapq.heappop(self._waiting)
            heapq.heappush(self._heap, (order, job_id))

    def _add(self, job_id: str) -> None:
        try:
            job = self._spool.read(State.PENDING, job_id)
        except FileNotFoundError:
            return
        except CorruptJob as error:
            logger.error("A pending job cannot be read and stays where it is: %s", error)
            return
        self._push(job)

    def _push(self, job: Job) -> None:
        wait = min(job.not_before - self._now(), self._longest_wait)
        if wait > 0:
            heapq.heappush(self._waiting, (self._monotonic() + wait, job.order, job.id))
        else:
            heapq.heappush(self._heap, (job.order, job.id))

    def _rebuild(self, present: set[str]) -> None:
        self._heap = [item for item in self._heap if item[1] in present]
        self._waiting = [item for item in self._waiting if item[2] in present]
        heapq.heapify(self._heap)
        heapq.heapify(self._waiting)
