"""Waiting for a job: its steps are told as progress, and a wait that nobody wants any more ends."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

import anyio
import anyio.from_thread

from client.api_client import CyberImageClient
from client.errors import JobFailed, WaitTimedOut
from client.mcp.api import Api
from client.results import JobStatus

#: Tells how far something is: progress, its total, a sentence.
Report = Callable[[float, float | None, str | None], Awaitable[None]]


class _NobodyWaits(Exception):
    """Whoever asked for the wait has gone; ends its thread at the next news."""


async def follow(api: Api, job_id: str, seconds: float, report: Report) -> JobStatus:
    """The status of a job when it has ended, however it did, or after so many seconds; raises ClientError."""
    gone = threading.Event()
    steps = StepReport(report)

    def told(job: JobStatus) -> None:
        if gone.is_set():
            raise _NobodyWaits
        anyio.from_thread.run(steps.tell, job)

    def waited(client: CyberImageClient) -> JobStatus:
        try:
            return client.wait(job_id, on_progress=told, timeout=seconds)
        except WaitTimedOut:
            return client.status(job_id)
        except JobFailed as failure:
            return failure.job

    try:
        return await api.wait(waited)
    finally:
        gone.set()


class StepReport:
    """Reports the steps of a job over all of its images. Progress only grows, as the protocol asks."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._last = -1.0

    async def tell(self, job: JobStatus) -> None:
        """Report where the job is, unless all of its steps were reported."""
        progress = job.progress
        total = (progress.total_steps or 0) * progress.total_images
        done = (progress.image_number - 1) * (progress.total_steps or 0) + (progress.step or 0)
        # A job that waits or loads its model has no steps, but a client that hears nothing gives it up.
        reached = max(float(done), self._last + 0.001)
        if total and reached > total:
            return
        self._last = reached
        await self._report(reached, float(total) if total else None, _words(job))


def _words(job: JobStatus) -> str:
    if job.status == "pending" and job.queue_position is not None:
        return f"Waiting in the queue; {job.queue_position} before it."
    return job.message or job.status
