"""The order of pending jobs: first come, first served, unless moved; its cost does not grow with the queue."""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from jobs.claims import set_aside
from jobs.errors import CorruptJob, NewerJob
from jobs.schema import Job, State
from jobs.spool import Spool
from jobs.turns import key_of, limit_at, rank

logger = logging.getLogger(__name__)


class PendingJob(NamedTuple):
    """A job whose turn it is."""

    id: str
    model: str


class PendingQueue:
    """The pending jobs in order, kept in memory and refreshed from the directory.

    The heap may name jobs that are gone; the claim finds out. A job that is new to the directory is
    read once, for its order, its model and the time before which it must wait; again after it was moved (`jobs.turns`).
    `now` is in seconds since the epoch.
    It may step: a wait is turned into seconds of `monotonic` when the job is read, and cut to `longest_wait`.

    A job with an order that is further ahead of the clock than orders may be was accepted while the clock was wrong, or
    before it was set back. All that is certain of it is that it was accepted before now. So such jobs come first, by
    their orders: nobody waits for years.
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
        self._heaps: dict[str, list[tuple[str, str]]] = {}
        #: Keys after this one are ahead of the clock; as of the last refresh.
        self._limit = ""
        #: The keys of the jobs that were moved; as of the last refresh.
        self._turns: dict[str, str] = {}
        self._waiting: list[tuple[float, str, str, str]] = []
        #: The orders of the jobs that were taken before older ones.
        self._overtakers: list[str] = []
        self._known: set[str] = set()

    def __len__(self) -> int:
        return len(self._known)

    def refresh(self) -> None:
        """Take in what is new in `pending/`, and forget what is gone."""
        self._follow_clock()
        present = set(self._spool.ids(State.PENDING))
        self._take_out(self._moved())
        for job_id in present - self._known:
            self._add(job_id)
        if sum(map(len, self._heaps.values())) + len(self._waiting) > 2 * len(present) + 100:
            self._rebuild(present)
        self._known = present

    def _moved(self) -> set[str]:
        """The known jobs whose keys have changed."""
        before, self._turns = self._turns, self._spool.turns.all()
        changed = (job_id for job_id, _ in before.items() ^ self._turns.items())
        return self._known.intersection(changed)

    def _take_out(self, job_ids: set[str]) -> None:
        if job_ids:
            self._known -= job_ids
            self._rebuild(self._known)

    def pop(self, warm: Collection[str] = (), look_ahead: int = 0) -> PendingJob | None:
        """The job to run now, taken out; None if there is none.

        That is the oldest one. With `look_ahead` it is the oldest of a model in `warm`, as long as no job is
        overtaken by more than so many younger ones in all.
        """
        self._wake()
        tops = {model: top for model in list(self._heaps) if (top := self._top(model)) is not None}
        if not tops:
            return None
        oldest = min(tops, key=lambda model: tops[model])
        chosen = self._preferred(tops, oldest, warm, look_ahead) if look_ahead else oldest
        _, job_id = heapq.heappop(self._heaps[chosen])
        self._known.discard(job_id)
        return PendingJob(job_id, chosen)

    def _top(self, model: str) -> tuple[str, str] | None:
        """The oldest job of a model that is still pending."""
        heap = self._heaps[model]
        while heap and heap[0][1] not in self._known:
            heapq.heappop(heap)
        if not heap:
            del self._heaps[model]
            return None
        return heap[0]

    def _preferred(self, tops: dict[str, tuple[str, str]], oldest: str, warm: Collection[str], look_ahead: int) -> str:
        """The model to go on with. Whoever is younger than the oldest job has been overtaken no more often."""
        self._overtakers = [order for order in self._overtakers if order > tops[oldest][0]]
        candidates = [model for model in tops if model in warm]
        if oldest in warm or not candidates or len(self._overtakers) >= look_ahead:
            return oldest
        chosen = min(candidates, key=lambda model: tops[model])
        self._overtakers.append(tops[chosen][0])
        return chosen

    def next_wake(self) -> float | None:
        """When the first waiting job may run (seconds since the epoch)."""
        return self._now() + self._waiting[0][0] - self._monotonic() if self._waiting else None

    def _wake(self) -> None:
        now = self._monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, key, job_id, model = heapq.heappop(self._waiting)
            self._ready(model, key, job_id)

    def _add(self, job_id: str) -> None:
        try:
            job = self._spool.read(State.PENDING, job_id)
        except FileNotFoundError:
            return
        except NewerJob as error:
            logger.info("%s It stays where it is.", error)
            return
        except CorruptJob:
            set_aside(self._spool, State.PENDING, job_id)
            return
        self._push(job)

    def _push(self, job: Job) -> None:
        key = self._turns.get(job.id) or key_of(job.order)
        wait = min(job.not_before - self._now(), self._longest_wait)
        if wait > 0:
            heapq.heappush(self._waiting, (self._monotonic() + wait, key, job.id, job.model_id))
        else:
            self._ready(job.model_id, key, job.id)

    def _ready(self, model: str, key: str, job_id: str) -> None:
        heapq.heappush(self._heaps.setdefault(model, []), (rank(key, self._limit), job_id))

    def _follow_clock(self) -> None:
        """Take in what time it is; where the clock was set back, the jobs are ranked again."""
        before, self._limit = self._limit, limit_at(self._now())
        if self._limit < before:
            for model, heap in self._heaps.items():
                self._heaps[model] = sorted((rank(known, self._limit), job_id) for known, job_id in heap)
            self._overtakers.clear()

    def _rebuild(self, present: set[str]) -> None:
        for model, heap in self._heaps.items():
            self._heaps[model] = sorted(item for item in heap if item[1] in present)
        self._waiting = sorted(item for item in self._waiting if item[2] in present)
