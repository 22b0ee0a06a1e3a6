"""Waiting jobs as a whole: move one among them, cancel several."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from falcon import Request, Response
from msgspec import UNSET, Meta, Struct, UnsetType

from core.errors import InvalidRequest
from core.explain import EXPECTED
from http_api.api.queue_answers import CancelManyAnswer, MoveAnswer
from http_api.server import blocking
from http_api.server.request_body import read_struct
from jobs.spool import Spool
from service.cancel import cancel_many, cancel_waiting
from service.queue import End, move
from service.services import Services
from service.snapshot_reader import SnapshotReader

_MOST_JOBS: Final = 500


class MoveRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/jobs/<job_id>/move`: one of the two."""

    to: Annotated[Literal["front", "back"], Meta(description="Before all that wait, or after them")] | UnsetType = UNSET
    before: Annotated[str, Meta(min_length=1, max_length=100, description="The id of a job that waits")] | UnsetType = (
        UNSET
    )


class CancelManyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/jobs/cancel`: one of the two."""

    ids: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=100)]],
            Meta(
                min_length=1,
                max_length=_MOST_JOBS,
                description="Job ids",
                extra={EXPECTED: f"a list of 1 to {_MOST_JOBS} job ids"},
            ),
        ]
        | UnsetType
    ) = UNSET
    status: Annotated[Literal["pending"], Meta(description="All jobs that wait")] | UnsetType = UNSET


class MoveResource:
    """`POST /api/jobs/<job_id>/move`."""

    def __init__(self, services: Services, reader: SnapshotReader) -> None:
        self._services = services
        self._reader = reader

    def on_post(self, req: Request, resp: Response, job_id: str) -> None:
        """Change the turn of a job that waits."""
        request = read_struct(req, MoveRequest)
        if (request.to is UNSET) is (request.before is UNSET):
            raise InvalidRequest('Give either to ("front" or "back") or before (the id of a job that waits).', "to")
        target = request.before if request.to is UNSET else End(request.to)
        assert target is not UNSET  # noqa: S101 - for mypy; said above
        blocking.run(lambda: move(self._services, job_id, target))
        position = self._reader.read(job_id).position
        resp.media = MoveAnswer(status="success", message="Moved", job_id=job_id, queue_position=position)


class CancelManyResource:
    """`POST /api/jobs/cancel`."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def on_post(self, req: Request, resp: Response) -> None:
        """Cancel those at once that wait, and those within a step that run."""
        request = read_struct(req, CancelManyRequest)
        if (request.ids is UNSET) is (request.status is UNSET):
            raise InvalidRequest('Give either ids (a list of job ids) or status ("pending").', "ids")
        ids = request.ids
        done = blocking.run(lambda: cancel_waiting(self._spool) if ids is UNSET else cancel_many(self._spool, ids))
        message = f"Cancelled {done.cancelled} jobs" + (
            f"; {done.stopping} stop at their next step" if done.stopping else ""
        )
        resp.media = CancelManyAnswer(
            status="success",
            message=message,
            cancelled=done.cancelled,
            stopping=done.stopping,
            ended=done.ended,
            left=done.left,
        )
