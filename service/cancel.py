"""Cancelling a job."""

from __future__ import annotations

from jobs.schema import State
from jobs.spool import Spool
from service.errors import StateConflict


def cancel(spool: Spool, job_id: str) -> bool:
    """Cancel a job: at once if it waits, within a step if it runs; returns whether it is cancelled by now.

    Idempotent. Raises JobNotFound, and StateConflict for a job that has completed or failed.
    """
    state = spool.cancel(job_id)
    if state.is_final and state is not State.CANCELLED:
        raise StateConflict(f"The job has {state.value} already; there is nothing to cancel.")
    return state is State.CANCELLED
