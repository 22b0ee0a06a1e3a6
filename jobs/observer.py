"""Who is told of the changes of jobs."""

from __future__ import annotations

from typing import Protocol

from jobs.schema import Job, State


class Observer(Protocol):
    """Told of every change; the derived index listens here. Must not raise."""

    def job_changed(self, job: Job, state: State) -> None:
        """`job` is now in `state`, durably."""

    def job_moving(self, job: Job, state: State) -> None:
        """`job`, whose lock is held, is about to move to `state`.

        So whoever sees the job's file in its new place finds everybody told already.
        """

    def job_moved(self, job: Job, state: State) -> None:
        """The move is done, durably."""
