"""Every error as a response, in the one form of the door that the request came to, whatever went wrong."""

from __future__ import annotations

import logging
import math
from typing import Any, Protocol

import falcon
import msgspec
from falcon import HTTPError, Request, Response

from core.errors import IndexUnavailable, InvalidRequest, StorageUnavailable
from core.files import is_out_of_reach, is_storage_error
from core.layout import Layout
from http_api.door import Failure, door_of
from http_api.server.blocking import TooBusy
from jobs.errors import CorruptJob, DuplicateJob, JobBusy, JobNotFound, NewerJob, QueueFull
from outputs.errors import DamagedImage, ImageNotFound
from outputs.inputs import DamagedInput, InputNotFound
from service.errors import ClientGone, KeyReused, RateLimited, Restarting, StateConflict
from service.readiness import missing_data

logger = logging.getLogger(__name__)

#: What a client is asked to wait, in seconds, before it tries again.
QUEUE_FULL_WAIT = 60
STORAGE_WAIT = 30
INDEX_WAIT = 2
BUSY_WAIT = 5
ID_BUSY_WAIT = 2
RESTART_WAIT = 2
_LONGEST_MESSAGE = 1000


class ApiError(HTTPError):
    """An error of the API: a status, a sentence for people, and extra fields for programs."""

    def __init__(self, status: str, message: str, *, wait: float | None = None, **extra: Any) -> None:
        headers = {"Retry-After": str(math.ceil(wait))} if wait is not None else {}
        super().__init__(status, title=status, description=message, headers=headers)
        self.extra = extra if wait is None else {**extra, "retry_after": math.ceil(wait)}


class _Handler(Protocol):
    def __call__(self, req: Request, resp: Response, error: Any, params: dict[str, Any]) -> None: ...


def register(app: falcon.App[Request, Response], layout: Layout) -> None:
    """Let every error, ours, Falcon's and unexpected ones, leave in the form of its door.

    Errors that would be another thing if the data directory were missing are said to be that.
    """

    def unless_missing(handler: _Handler) -> _Handler:
        def handle(req: Request, resp: Response, error: Exception, params: dict[str, Any]) -> None:
            trouble = missing_data(layout)
            if trouble is None:
                handler(req, resp, error, params)
            else:
                _unavailable(req, resp, str(trouble), f"{trouble.path} is missing", params)

        return handle

    app.set_error_serializer(_serialize)
    app.add_error_handler(Exception, unless_missing(_unforeseen))
    app.add_error_handler(HTTPError, _own)
    app.add_error_handler(InvalidRequest, _invalid_request)
    app.add_error_handler((JobNotFound, ImageNotFound, InputNotFound), unless_missing(_not_found))
    app.add_error_handler((CorruptJob, DamagedImage, DamagedInput), unless_missing(_damaged))
    app.add_error_handler(NewerJob, _newer)
    app.add_error_handler((DuplicateJob, StateConflict), _conflict)
    app.add_error_handler(KeyReused, _key_reused)
    app.add_error_handler(RateLimited, _rate_limited)
    app.add_error_handler(QueueFull, _queue_full)
    app.add_error_handler(JobBusy, _id_busy)
    app.add_error_handler((StorageUnavailable, OSError), unless_missing(_storage))
    app.add_error_handler(IndexUnavailable, unless_missing(_index))
    app.add_error_handler(TooBusy, _too_busy)
    app.add_error_handler(Restarting, _restarting)
    app.add_error_handler(ClientGone, _client_gone)


def _serialize(req: Request, resp: Response, error: HTTPError) -> None:
    door = door_of(req)
    failure = Failure(
        status=error.status_code,
        message=_shorten(_sentence(req, error)),
        request_id=req.context.get("request_id"),
        extra=getattr(error, "extra", {}),
    )
    own = door.status(error.status_code)
    if own != error.status_code:
        resp.status = falcon.code_to_http_status(own)
    resp.set_headers(dict(door.headers(failure)))
    resp.data = msgspec.json.encode(door.tell(failure))
    resp.text = None
    resp.stream = None
    resp.content_type = falcon.MEDIA_JSON


def _sentence(req: Request, error: HTTPError) -> str:
    """falcon's own errors often carry a title only; say what is right as well."""
    if req.method not in falcon.COMBINED_METHODS:
        return f"{req.method[:40]!r} is not a method of HTTP; allowed are GET, HEAD, POST, PUT, DELETE and OPTIONS."
    if error.description:
        return str(error.description)
    if isinstance(error, falcon.HTTPMethodNotAllowed):
        return f"{req.method} is not allowed here; allowed: {(error.headers or {}).get('Allow', '')}."  # type: ignore[union-attr]
    if isinstance(error, falcon.HTTPNotFound):
        return f"There is nothing at {req.path!r}; the API is described at /api/openapi.json."
    return str(error.title or error.status)


def _shorten(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 3] + "..."


def _own(req: Request, resp: Response, error: HTTPError, params: dict[str, Any]) -> None:
    resp.status = error.status
    if error.headers:
        resp.set_headers(error.headers)
    _serialize(req, resp, error)


def _invalid_request(req: Request, resp: Response, error: InvalidRequest, params: dict[str, Any]) -> None:
    extra: dict[str, Any] = {"field": error.field} if error.field else {}
    _own(req, resp, ApiError(falcon.HTTP_400, error.message, **extra), params)


def _not_found(req: Request, resp: Response, error: Exception, params: dict[str, Any]) -> None:
    _own(req, resp, ApiError(falcon.HTTP_404, str(error)), params)


def _damaged(req: Request, resp: Response, error: Exception, params: dict[str, Any]) -> None:
    req.context.cause = str(error)
    _own(req, resp, ApiError(falcon.HTTP_500, str(error), error_type="damaged"), params)


def _newer(req: Request, resp: Response, error: Exception, params: dict[str, Any]) -> None:
    _own(req, resp, ApiError(falcon.HTTP_409, str(error), error_type="newer_version"), params)


def _conflict(req: Request, resp: Response, error: Exception, params: dict[str, Any]) -> None:
    _own(req, resp, ApiError(falcon.HTTP_409, str(error)), params)


def _key_reused(req: Request, resp: Response, error: KeyReused, params: dict[str, Any]) -> None:
    _own(req, resp, ApiError(falcon.HTTP_422, str(error), field="Idempotency-Key"), params)


def _rate_limited(req: Request, resp: Response, error: RateLimited, params: dict[str, Any]) -> None:
    _own(req, resp, ApiError(falcon.HTTP_429, str(error), wait=error.wait, error_type="rate_limited"), params)


def _queue_full(req: Request, resp: Response, error: QueueFull, params: dict[str, Any]) -> None:
    _own(req, resp, ApiError(falcon.HTTP_503, str(error), wait=QUEUE_FULL_WAIT, error_type="queue_full"), params)


def _id_busy(req: Request, resp: Response, error: Exception, params: dict[str, Any]) -> None:
    _own(req, resp, ApiError(falcon.HTTP_503, str(error), wait=ID_BUSY_WAIT, error_type="id_busy"), params)


def _storage(req: Request, resp: Response, error: Exception, params: dict[str, Any]) -> None:
    if isinstance(error, OSError) and not _is_of_the_storage(error):
        _unforeseen(req, resp, error, params)
        return
    message = str(error) if isinstance(error, StorageUnavailable) else "The storage does not work; nothing was stored."
    _unavailable(req, resp, message, f"The storage failed: {error}", params)


def _is_of_the_storage(error: OSError) -> bool:
    """Whether it concerns every request. Where our folders are all there, a file that is not is a fault of ours."""
    return is_storage_error(error) or (is_out_of_reach(error) and not isinstance(error, FileNotFoundError))


def _unavailable(req: Request, resp: Response, message: str, cause: str, params: dict[str, Any]) -> None:
    req.context.cause = cause  # the line of the request tells it
    _own(req, resp, ApiError(falcon.HTTP_503, message, wait=STORAGE_WAIT, error_type="storage"), params)


def _index(req: Request, resp: Response, error: IndexUnavailable, params: dict[str, Any]) -> None:
    _own(req, resp, ApiError(falcon.HTTP_503, str(error), wait=INDEX_WAIT, error_type="index"), params)


def _too_busy(req: Request, resp: Response, error: TooBusy, params: dict[str, Any]) -> None:
    _own(req, resp, ApiError(falcon.HTTP_503, str(error), wait=BUSY_WAIT, error_type="busy"), params)


def _restarting(req: Request, resp: Response, error: Restarting, params: dict[str, Any]) -> None:
    _own(req, resp, ApiError(falcon.HTTP_503, str(error), wait=RESTART_WAIT, error_type="restarting"), params)


def _client_gone(req: Request, resp: Response, error: ClientGone, params: dict[str, Any]) -> None:
    _own(req, resp, ApiError("499 Client Closed Request", str(error)), params)  # for the log: nobody reads it


def _unforeseen(req: Request, resp: Response, error: Exception, params: dict[str, Any]) -> None:
    request_id = req.context.get("request_id")
    logger.error("%s %s failed (request %s)", req.method, req.path, request_id, exc_info=error)
    message = f"An internal error; the log has it under the request id {request_id}."
    _own(req, resp, ApiError(falcon.HTTP_500, message), params)
