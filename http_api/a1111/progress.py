"""How far the caller's own jobs are, and stopping them."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Annotated

from falcon import Request, Response
from msgspec import Meta, Struct

from http_api.a1111.answers import Nothing, ProgressOfCaller, ProgressState
from http_api.a1111.drawing import timestamp
from http_api.api import job_view
from http_api.api.generate import client_of
from http_api.server import blocking
from jobs.errors import CorruptJob, JobNotFound
from jobs.schema import State
from jobs.spool import Spool
from outputs.formats import convert
from service.callers import Callers
from service.snapshot import JobSnapshot
from service.snapshot_reader import SnapshotReader


class ProgressQuery(Struct, frozen=True, kw_only=True):
    """The parameters of `GET /sdapi/v1/progress`."""

    skip_current_image: Annotated[bool, Meta(description="Leave the preview out")] = False


class OwnJobs:
    """The jobs whose pictures a caller waits for."""

    def __init__(self, callers: Callers, reader: SnapshotReader) -> None:
        self._callers = callers
        self._reader = reader

    def current(self, req: Request) -> JobSnapshot | None:
        """The one that is drawn, else the one that is next; None where the caller waits for nothing."""
        caller = client_of(req).scope
        found = blocking.run(lambda: self._read(caller), blocking.READS)
        found.sort(key=lambda snapshot: (snapshot.state is not State.PROCESSING, snapshot.job.order))
        return found[0] if found else None

    def _read(self, caller: str) -> list[JobSnapshot]:
        found = []
        for job_id in self._callers.jobs(caller):
            with suppress(JobNotFound, CorruptJob):
                found.append(self._reader.read(job_id))
        return [snapshot for snapshot in found if not snapshot.state.is_final]


class ProgressResource:
    """`GET /sdapi/v1/progress`: of the caller's jobs, never of others'."""

    def __init__(self, own: OwnJobs, spool: Spool) -> None:
        self._own = own
        self._spool = spool

    def on_get(self, req: Request, resp: Response, query: ProgressQuery) -> None:
        """How far the current one is."""
        current = self._own.current(req)
        resp.media = (
            ProgressOfCaller() if current is None else self._of(current, has_image=not query.skip_current_image)
        )

    on_head = on_get

    def _of(self, snapshot: JobSnapshot, *, has_image: bool) -> ProgressOfCaller:
        told = job_view.progress(snapshot)
        drawn = (told.image_number - 1) + told.step / told.total_steps
        return ProgressOfCaller(
            progress=round(min(1.0, drawn / told.total_images), 4),
            eta_relative=round(snapshot.eta or 0.0, 1),
            state=ProgressState(
                interrupted=self._spool.cancel_requested(snapshot.job.id),
                job=f"task({snapshot.job.id})",
                job_count=told.total_images,
                job_timestamp=timestamp(snapshot.job.created_at),
                job_no=told.image_number - 1,
                sampling_step=told.step,
                sampling_steps=told.total_steps,
            ),
            current_image=self._preview(snapshot.job.id) if has_image else None,
            textinfo=job_view.message(snapshot),
        )

    def _preview(self, job_id: str) -> str | None:
        preview = self._spool.preview(job_id)
        if preview is None:
            return None
        png = blocking.run(lambda: convert(preview, "png"), blocking.READS)
        return base64.b64encode(png).decode()


class InterruptResource:
    """`POST /sdapi/v1/interrupt` and `/skip`: stops the caller's current job, which keeps its finished images."""

    def __init__(self, own: OwnJobs, spool: Spool) -> None:
        self._own = own
        self._spool = spool

    def on_post(self, req: Request, resp: Response) -> None:
        """Stop it within a step; nothing to stop is fine."""
        current = self._own.current(req)
        if current is not None:
            req.context.job_id = current.job.id
            with suppress(JobNotFound):  # gone meanwhile
                blocking.run(lambda: self._spool.cancel(current.job.id))
        resp.media = Nothing()
