"""`GET /api/status/<job_id>`."""

from __future__ import annotations

from falcon import Request, Response

from http_api import job_view
from http_api.job_look import Looker
from http_api.query import Query


class StatusResource:
    """What is known of a job."""

    def __init__(self, looker: Looker) -> None:
        self._looker = looker

    def on_get(self, req: Request, resp: Response, job_id: str) -> None:
        """Answer at once."""
        Query(req)
        resp.media = job_view.status(self._looker.look(job_id))

    on_head = on_get
