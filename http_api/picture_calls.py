"""Calls that are answered with pictures: what all doors share whose clients wait for the end of their job."""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import Final, Self

import falcon
from falcon import Request

from http_api.api.generate import client_of
from http_api.route import Context, Header
from http_api.server import blocking, connection, places, stopping
from http_api.server.client_address import sender
from http_api.server.errors import BUSY_WAIT, ApiError
from http_api.server.places import Places
from jobs.errors import CorruptJob, JobNotFound
from jobs.schema import GenerateRequest, Job, JobError, State
from jobs.spool import Spool
from outputs.formats import Format, convert
from outputs.sidecar import Sidecar
from outputs.store import ImageStore
from service.calls import Calls
from service.errors import Restarting
from service.snapshot import JobSnapshot
from service.snapshot_reader import SnapshotReader
from service.submit import Submitter
from service.watch import JobWatcher

logger = logging.getLogger(__name__)

#: How often OpenAI's libraries have sent a request before: they repeat it after a time-out or a lost connection.
TRIES: Final = "X-Stainless-Retry-Count"
#: Seconds in which such a library comes back, if it does: it pauses for 8 at most, and the machine may be busy.
RETURN_SECONDS: Final = 20.0


#: Why a job failed, where that is not a fault of this server.
_STATUSES: Final = {"invalid_settings": falcon.HTTP_400}


#: What such a call may say of itself.
HEADERS: Final = (
    Header("Idempotency-Key", "As for /api/generate; the job is then not cancelled when the client hangs up"),
    Header(TRIES, "How often a library has sent this request before; a later try gets the job of the first"),
)


class PictureCall:
    """One call: its job, and the snapshots of it."""

    def __init__(self, job: Job, snapshots: Iterator[JobSnapshot]) -> None:
        self.job = job
        #: Whether there is nothing more to wait for here.
        self.is_over = False
        self._snapshots = snapshots

    def __iter__(self) -> Iterator[JobSnapshot]:
        """The snapshots up to the final one; raises ClientGone, Restarting, JobNotFound, CorruptJob."""
        try:
            for snapshot in self._snapshots:
                self.is_over = snapshot.state.is_final
                yield snapshot
        except Restarting:
            self.is_over = True
            raise

    def wait(self) -> JobSnapshot:
        """The final snapshot; raises as above."""
        *_, final = self
        return final


class PictureCalls:
    """Submits jobs for clients that wait; cancels a job for which all of them have hung up."""

    def __init__(self, spool: Spool, submitter: Submitter, reader: SnapshotReader, watcher: JobWatcher) -> None:
        self._spool = spool
        self._submitter = submitter
        self._calls = Calls(reader, watcher, stopping.is_stopping)

    @classmethod
    def of(cls, context: Context) -> Self:
        """Over the collaborators of an application."""
        return cls(context.services.spool, context.submitter, context.reader, context.watcher)

    @contextmanager
    def begin(self, req: Request, request: GenerateRequest, kind: Places = places.WAITING) -> Iterator[PictureCall]:
        """Submit `request` for the client of `req`, who is one of those that `kind` has places for.

        A client that hangs up before the end has its job cancelled, unless it named the job by an Idempotency-Key,
        somebody else watches it, or its library comes back. Raises ApiError 503 while too many wait already, and as
        `Submitter.submit`.
        """
        place = kind.take(sender(req).key)
        if place is None:
            raise ApiError(
                falcon.HTTP_503, "Too many requests wait for their pictures.", wait=BUSY_WAIT, error_type="busy"
            )
        client = client_of(req)._replace(tries=_tries(req), is_gone=partial(connection.is_gone, req))
        with place:
            _, job = blocking.run(lambda: self._submitter.submit(request, client))
            req.context.job_id = job.id
            with closing(self._calls.follow(job.id, client.is_gone)) as snapshots:
                call = PictureCall(job, snapshots)
                try:
                    yield call
                finally:
                    if not call.is_over and client.idempotency_key is None:
                        self._leave(job.id, RETURN_SECONDS if client.tries is not None else 0.0)

    def _leave(self, job_id: str, seconds: float) -> None:
        """Wait in the background for somebody who wants the job, and cancel it if nobody does."""
        with ExitStack() as held:
            # Before the call ends: others must see at any moment that somebody is, or may be, interested.
            held.enter_context(self._calls.leave(job_id))
            leaving = held.pop_all()
        work = partial(self._cancel_if_abandoned, job_id, seconds, leaving)
        threading.Thread(target=work, name="hung-up", daemon=True).start()

    def _cancel_if_abandoned(self, job_id: str, seconds: float, leaving: ExitStack) -> None:
        with leaving:
            self._calls.wait_for_return(job_id, seconds)
        if not self._calls.is_abandoned(job_id):
            return
        logger.info("Cancelled: its client has hung up.", extra={"job_id": job_id})
        with suppress(JobNotFound, CorruptJob):  # there is nothing to cancel any more
            _run_cancel(lambda: self._spool.cancel(job_id))


def _run_cancel(cancel: Callable[[], object]) -> None:
    try:
        blocking.run(cancel)
    except OSError as error:
        logger.warning("A job whose client has hung up could not be cancelled: %s", error)


def encoded(store: ImageStore, images: Sequence[Sidecar], target: Format = "png", quality: int = 100) -> list[str]:
    """Stored images in base64, in the format `target`; raises ImageNotFound, DamagedImage, OSError."""

    def read() -> list[str]:
        found = []
        for image in images:
            with store.open(image.id)[0] as stream:
                found.append(base64.b64encode(convert(stream.read(), target, quality)).decode())
        return found

    return blocking.run(read, blocking.READS)


def failure_of(snapshot: JobSnapshot) -> ApiError | None:
    """The error to answer with where a job has ended without its pictures; None where it has them."""
    if snapshot.state is State.COMPLETED and snapshot.images:
        return None
    if snapshot.state is State.COMPLETED:
        return ApiError(falcon.HTTP_500, "The pictures were deleted before they could be sent.", error_type="deleted")
    error = snapshot.job.error or JobError(type="unknown", message="The job failed for an unknown reason.")
    status = _STATUSES.get(error.type, falcon.HTTP_500)
    return ApiError(status, error.message, error_type=error.type)


def _tries(req: Request) -> int | None:
    sent = req.get_header(TRIES) or ""
    return int(sent) if sent.isascii() and sent.isdigit() and len(sent) <= 3 else None
