"""Requests that a client's library sends again by itself: they meet the job of the first try.

Such a library (OpenAI's) sends the same body after a time-out or a broken connection, counts its tries in a header,
and names nothing by which the tries of one call could be told from those of another call that asks the same. So the
jobs of equal requests of one client have ids that follow from the request and a number: a first try takes the next
number, and two equal calls make two jobs; a later try looks at the jobs that there are, and takes one for which nobody
waits. That needs no record beside the jobs, and holds over all processes and restarts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

from core.locks import Presence
from jobs.errors import JobBusy, JobNotFound
from jobs.schema import Job, State
from jobs.spool import Spool

_NAMESPACE: Final = UUID("0b0d6f0e-2d1c-4f5c-9d5e-7a4c3f1f2f5a")
#: Numbers begin again after this time (seconds), so that looking for the next one stays quick. A later try looks at
#: the jobs of this window and the one before it, and so at those of at least the last hour.
_WINDOW: Final = 3600
#: Seconds for which a job that has ended may still be wanted by a later try: longer than libraries pause between tries.
_WANTED: Final = 30.0
#: So many jobs of each window, the latest first, a later try looks at.
_MOST: Final = 50
#: How long to wait for a try whose job is just being stored, in seconds.
_STORING: Final = 2.0


class Repeats:
    """The jobs of equal requests of one client. `now` is in seconds since the epoch."""

    def __init__(self, spool: Spool, now: Callable[[], float] = time.time) -> None:
        self._spool = spool
        self._now = now

    def next_id(self, fingerprint: str) -> str:
        """The first id of this window at which there is no job yet."""
        window = self._window()
        return _job_id(fingerprint, window, self._count(fingerprint, window))

    def find(self, fingerprint: str) -> tuple[State, Job] | None:
        """The job that a later try wants: the latest one for which nobody waits, else the latest that may be wanted.

        None where all of them were cancelled or have ended a while ago.
        """
        wanted = [found for found in self._latest(fingerprint) if self._may_be_wanted(*found)]
        watchers = Presence(self._spool.layout.marker)
        alone = (found for found in wanted if not watchers.others(found[1].id))
        return next(alone, wanted[0] if wanted else None)

    def wait_for_others(self, fingerprint: str, storing: Presence) -> None:
        """Wait until no other try is between its decision and its job; raises JobBusy where that lasts."""
        end = time.monotonic() + _STORING
        while storing.others(fingerprint):
            if time.monotonic() > end:
                raise JobBusy(self.next_id(fingerprint))
            time.sleep(0.02)

    def _latest(self, fingerprint: str) -> Iterator[tuple[State, Job]]:
        now = self._window()
        for window in (now, now - 1):
            count = self._count(fingerprint, window)
            for number in range(count - 1, max(-1, count - 1 - _MOST), -1):
                try:
                    yield self._spool.find(_job_id(fingerprint, window, number))
                except JobNotFound:  # removed by hand
                    continue

    def _may_be_wanted(self, state: State, job: Job) -> bool:
        if not state.is_final:
            return not self._spool.cancel_requested(job.id)
        if state is State.CANCELLED or job.completed_at is None:
            return False
        return abs(self._now() - datetime.fromisoformat(job.completed_at).astimezone(UTC).timestamp()) < _WANTED

    def _count(self, fingerprint: str, window: int) -> int:
        """How many jobs there are. Numbers are given without gaps, so a few looks are enough however many there are."""
        above = 0
        while self._has(fingerprint, window, above):
            above = 2 * above + 1
        below = (above + 1) // 2  # the numbers before this one are taken
        while below < above:
            middle = (below + above) // 2
            if self._has(fingerprint, window, middle):
                below = middle + 1
            else:
                above = middle
        return above

    def _has(self, fingerprint: str, window: int, number: int) -> bool:
        return self._spool.exists(_job_id(fingerprint, window, number))

    def _window(self) -> int:
        return int(self._now() // _WINDOW)


def _job_id(fingerprint: str, window: int, number: int) -> str:
    return str(uuid5(_NAMESPACE, f"{fingerprint}\n{window}\n{number}"))
