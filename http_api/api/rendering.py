"""A job's status as bytes: made once for all who watch the job in this process."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from msgspec import Struct

from http_api.api import job_view
from service.snapshot import JobSnapshot

#: Jobs whose last answer is kept.
_KEPT: Final = 1000


class RenderedStatus(Struct, frozen=True):
    """The answer of `/status`. `version` stands for its content, in every process and permanently."""

    body: bytes
    version: str
    is_final: bool


class StatusRenderer:
    """Renders snapshots; the same snapshot of a watched job is rendered once, however many clients it goes to."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[JobSnapshot, RenderedStatus]] = {}

    def render(self, snapshot: JobSnapshot) -> RenderedStatus:
        """The JSON of a snapshot."""
        body = msgspec.json.encode(job_view.status(snapshot))
        return RenderedStatus(body, hashlib.sha256(body).hexdigest()[:24], snapshot.state.is_final)

    def render_shared(self, snapshot: JobSnapshot) -> RenderedStatus:
        """As `render`, for a snapshot that other clients are sent, too."""
        job_id = snapshot.job.id
        known, rendered = self._latest.get(job_id, (None, None))
        if rendered is None or known is not snapshot:
            rendered = self.render(snapshot)
            if len(self._latest) >= _KEPT:
                self._latest.clear()
            self._latest[job_id] = (snapshot, rendered)
        return rendered
