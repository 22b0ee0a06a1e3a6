"""The queue: how many jobs are where, and bringing on those whose runner is gone."""

from __future__ import annotations

from typing import Any

import msgspec
from falcon import Request, Response

from core.settings import Settings
from http_api.server import blocking
from http_api.server.query import Query
from http_api.server.request_body import refuse_body
from jobs.claims import recover_all
from jobs.index.job_index import JobIndex
from jobs.spool import Spool


class QueueResource:
    """`GET /api/queue`."""

    def __init__(self, jobs: JobIndex) -> None:
        self._jobs = jobs

    def on_get(self, req: Request, resp: Response) -> None:
        """Counts; with `detailed=true` those of the last 24 hours, by model, and the failure rate."""
        detailed = Query(req, "detailed").boolean("detailed")
        counts = self._jobs.counts()
        answer: dict[str, Any] = {**msgspec.to_builtins(counts), "queue_size": counts.pending}
        if detailed:
            answer.update(msgspec.to_builtins(self._jobs.statistics()))
        resp.media = answer

    on_head = on_get


class ResetQueueResource:
    """`POST /api/reset_queue`."""

    def __init__(self, spool: Spool, settings: Settings) -> None:
        self._spool = spool
        self._settings = settings

    def on_post(self, req: Request, resp: Response) -> None:
        """Return stalled jobs to pending; a job that a living process holds is never touched."""
        Query(req)
        refuse_body(req)
        count = blocking.run(self._recover)
        resp.media = {
            "status": "success",
            "reset_count": count,
            "message": f"Reset {count} stalled jobs to pending status",
        }

    def _recover(self) -> int:
        count = recover_all(self._spool, max_attempts=self._settings.max_attempts, waits=self._settings.retry_delays)
        if count:
            self._spool.ring()
        return count
