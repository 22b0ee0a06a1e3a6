"""Calls that wait for their pictures: followed to the end of the job, and what becomes of it when they hang up."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Final

from service.errors import ClientGone, Restarting
from service.snapshot import JobSnapshot
from service.snapshot_reader import SnapshotReader
from service.watch import JobWatcher

#: Seconds between two looks whether the client is still there.
TICK: Final = 0.25


class Calls:
    """Follows jobs for clients that get the pictures in the answer to their request."""

    def __init__(self, reader: SnapshotReader, watcher: JobWatcher, is_stopping: Callable[[], bool]) -> None:
        self._reader = reader
        self._watcher = watcher
        self._is_stopping = is_stopping

    def follow(self, job_id: str, is_gone: Callable[[], bool]) -> Generator[JobSnapshot, None, None]:
        """The snapshots of a job up to its final one; the latest again every quarter of a second while none is new.

        Raises ClientGone as soon as `is_gone` says so, Restarting when this process is about to end, and JobNotFound,
        CorruptJob.
        """
        with self._watcher.watch(job_id) as (latest, subscription):
            yield latest
            while not latest.state.is_final:
                if subscription.is_over:
                    latest = self._reader.read(job_id)  # which raises what is wrong with the job, if anything is
                    raise Restarting
                if is_gone():
                    raise ClientGone
                latest = subscription.wait(TICK) or latest
                yield latest

    def leave(self, job_id: str) -> AbstractContextManager[None]:
        """Let others see that somebody has left a job who may come back, within the context."""
        return self._watcher.leave(job_id)

    def wait_for_return(self, job_id: str, seconds: float) -> None:
        """Wait until somebody watches a job, at most so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._watcher.is_watched(job_id) and not self._is_stopping():
            time.sleep(TICK)

    def is_abandoned(self, job_id: str) -> bool:
        """Whether nobody watches a job, and nobody may come back: nobody wants it drawn.

        Of several who left, the last one finds it so, if each asks after its context of `leave`. False where this
        process is about to end: whoever is away may ask the next one.
        """
        return not (self._is_stopping() or self._watcher.is_watched(job_id) or self._watcher.is_awaited(job_id))
