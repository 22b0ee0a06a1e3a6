"""The queue: how many jobs are in which state, and recovering those whose runner is gone."""

from __future__ import annotations

from typing import Annotated

from falcon import Request, Response
from msgspec import Meta, Struct, structs

from core.settings import Settings
from http_api.api import queue_view
from http_api.api.answers import ResetAnswer
from http_api.api.queue_answers import PauseAnswer
from http_api.server import blocking
from jobs.claims import recover_all
from jobs.index.job_index import JobIndex
from jobs.pause import pause, resume
from jobs.spool import Spool
from service.snapshot_reader import SnapshotReader


class QueueQuery(Struct, frozen=True, kw_only=True):
    """The parameters of `GET /api/queue`."""

    detailed: Annotated[bool, Meta(description="Also the last 24 hours, by model")] = False


class QueueResource:
    """`GET /api/queue`."""

    def __init__(self, jobs: JobIndex, reader: SnapshotReader) -> None:
        self._jobs = jobs
        self._reader = reader

    def on_get(self, req: Request, resp: Response, query: QueueQuery) -> None:
        """Counts; with `detailed=true` those of the last 24 hours, by model, and the failure rate."""
        details = structs.asdict(self._jobs.statistics()) if query.detailed else {}
        resp.media = queue_view.queue(self._reader.queue(), **details)

    on_head = on_get


class PauseResource:
    """`POST /api/queue/pause` and `POST /api/queue/resume`."""

    def __init__(self, spool: Spool, *, is_pause: bool) -> None:
        self._spool = spool
        self._is_pause = is_pause

    def on_post(self, req: Request, resp: Response) -> None:
        """Begin or end the pause; again is fine."""
        blocking.run(lambda: (pause if self._is_pause else resume)(self._spool))
        message = "Paused: jobs that run go on, no other begins" if self._is_pause else "Jobs begin again"
        resp.media = PauseAnswer(status="success", message=message, paused=self._is_pause)


class ResetQueueResource:
    """`POST /api/reset_queue`."""

    def __init__(self, spool: Spool, settings: Settings) -> None:
        self._spool = spool
        self._settings = settings

    def on_post(self, req: Request, resp: Response) -> None:
        """Return stalled jobs to pending; a job that a living process holds is never touched."""
        count = blocking.run(self._recover)
        message = f"Reset {count} stalled jobs to pending status"
        resp.media = ResetAnswer(status="success", message=message, reset_count=count)

    def _recover(self) -> int:
        count = recover_all(self._spool, max_attempts=self._settings.max_attempts, waits=self._settings.retry_delays)
        if count:
            self._spool.ring()
        return count
