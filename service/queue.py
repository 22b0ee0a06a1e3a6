"""Changing the order of the waiting jobs."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from core.errors import IndexUnavailable, InvalidRequest
from core.locks import ExclusiveLock
from jobs.schema import Job, State
from jobs.turns import key_of
from service.data import Data
from service.errors import StateConflict

#: How long to wait for another who moves a job, in seconds: longer than a busy disk takes for a file.
_LOCK_SECONDS: Final = 5.0


class End(StrEnum):
    """An end of the queue."""

    FRONT = "front"
    BACK = "back"


def move(data: Data, job_id: str, to: End | str) -> None:
    """Let a waiting job have its turn before all others, after them, or just before the job with the id `to`.

    Whoever moves jobs does so one after the other, and the new place is durable before this returns. Raises
    JobNotFound, StateConflict where one of the jobs does not wait, InvalidRequest for a job before itself,
    IndexUnavailable, OSError.
    """
    lock = ExclusiveLock(data.layout.turns_lock)
    if not lock.acquire(_LOCK_SECONDS):
        raise StateConflict("Another job is being moved just now; try again.")
    try:
        _move(data, job_id, to)
    finally:
        lock.release()
    data.spool.ring()


def _move(data: Data, job_id: str, to: End | str) -> None:
    job = _waiting(data, job_id, "can be moved")
    if to == End.BACK:
        key: str | None = key_of(data.spool.clock.issue())  # as if it were accepted now
    elif to == End.FRONT:
        key = data.jobs.key_before(None, job_id)
    elif to == job_id:
        raise InvalidRequest(f"before is {to!r}, the job itself; name another job that waits.", "before")
    else:
        key = data.jobs.key_before(_waiting(data, to, "has a turn to be moved before"), job_id)
    if key is None:
        _require_alone(data, job_id)
        return
    data.spool.turns.put(job_id, key)
    if not data.spool.holds(State.PENDING, job_id):  # begun meanwhile; should it wait again, it is moved
        if data.spool.find(job_id)[0].is_final:
            data.spool.turns.remove(job_id)
        _waiting(data, job_id, "can be moved")
    data.jobs.job_changed(job, State.PENDING)


def _require_alone(data: Data, job_id: str) -> None:
    """Raise IndexUnavailable if another job waits that the index does not know yet."""
    if any(other != job_id for other in data.spool.ids(State.PENDING)):
        raise IndexUnavailable("The index does not know yet which jobs wait; try again shortly.")


def _waiting(data: Data, job_id: str, what: str) -> Job:
    state, job = data.spool.find(job_id)
    if state is not State.PENDING:
        raise StateConflict(f"The job {job_id} is {state.value}; only a job that waits {what}.")
    return job
