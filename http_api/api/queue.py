"""The queue: how many jobs are in which state, and recovering those whose runner is gone."""

from __future__ import annotations

from typing import Annotated

from falcon import Request, Response
from msgspec import Meta, Struct, structs

from core.settings import Settings
from http_api.api.answers import QueueAnswer, ResetAnswer
from http_api.server import blocking
from jobs.claims import recover_all
from jobs.index.job_index import JobIndex
from jobs.spool import Spool


class QueueQuery(Struct, frozen=True, kw_only=True):
    """The parameters of `GET /api/queue`."""

    detailed: Annotated[bool, Meta(description="Also the last 24 hours, by model")] = False


class QueueResource:
    """`GET /api/queue`."""

    def __init__(self, jobs: JobIndex) -> None:
        self._jobs = jobs

    def on_get(self, req: Request, resp: Response, query: QueueQuery) -> None:
        """Counts; with `detailed=true` those of the last 24 hours, by model, and the failure rate."""
        counts = self._jobs.counts()
        details = structs.asdict(self._jobs.statistics()) if query.detailed else {}
        resp.media = QueueAnswer(**structs.asdict(counts), queue_size=counts.pending, **details)

    on_head = on_get


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
