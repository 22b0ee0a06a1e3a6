"""Cancelling jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from jobs.errors import CorruptJob, JobNotFound, NewerJob
from jobs.schema import State
from jobs.spool import Spool
from service.errors import StateConflict

#: How long several jobs are cancelled at once, in seconds; whoever asked may ask again for the rest.
_LONGEST: Final = 20.0


class Cancelled(Struct, kw_only=True):
    """What became of several jobs."""

    cancelled: int = 0
    #: They run, and stop at their next step.
    stopping: int = 0
    #: They had completed or failed, or there are no such jobs.
    ended: int = 0
    #: They were not reached in time.
    left: int = 0


def cancel(spool: Spool, job_id: str) -> bool:
    """Cancel a job: at once if it waits, within a step if it runs; returns whether it is cancelled by now.

    Idempotent. Raises JobNotFound, and StateConflict for a job that has completed or failed.
    """
    state = spool.cancel(job_id)
    if state.is_final and state is not State.CANCELLED:
        raise StateConflict(f"The job has {state.value} already; there is nothing to cancel.")
    return state is State.CANCELLED


def cancel_many(spool: Spool, job_ids: Iterable[str], now: Callable[[], float] = time.monotonic) -> Cancelled:
    """Cancel these jobs, in this order, for as long as that may take. `now` is a monotonic clock in seconds."""
    done, end = Cancelled(), now() + _LONGEST
    for job_id in dict.fromkeys(job_ids):
        if now() > end:
            done.left += 1
            continue
        try:
            is_over = cancel(spool, job_id)
        except (JobNotFound, StateConflict, CorruptJob, NewerJob):
            done.ended += 1
        else:
            done.cancelled += is_over
            done.stopping += not is_over
    return done


def cancel_waiting(spool: Spool) -> Cancelled:
    """Cancel all jobs that wait now, the last ones first, since the runner takes the first ones."""
    return cancel_many(spool, sorted(spool.ids(State.PENDING), reverse=True))
