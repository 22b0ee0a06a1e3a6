"""Request bodies: capped before they are read, JSON only, whole or not at all."""

from __future__ import annotations

from typing import Final, TypeVar

import falcon
import msgspec
from falcon import Request
from msgspec import Struct

from core.errors import InvalidRequest
from core.explain import explain
from core.strict_json import SIZE_LIMIT, parse_object
from http_api.server import blocking, places
from http_api.server.client_address import sender
from http_api.server.errors import ApiError

#: How long a client may take to send its body, in seconds.
BODY_SECONDS: Final = 30.0

Body = TypeVar("Body", bound=Struct)


def read_json(req: Request) -> bytes:
    """The bytes of a JSON body; raises ApiError 400, 408, 411, 413, 415, and 503 while too many are being sent."""
    length = _length(req)
    _require_json(req)
    place = places.BODIES.take(sender(req).key)
    if place is None:
        raise ApiError(falcon.HTTP_503, "Too many requests are still being sent; try again shortly.", wait=5)
    try:
        with place, blocking.time_limit(BODY_SECONDS):
            body = req.bounded_stream.read()
    except TimeoutError as error:
        raise ApiError(falcon.HTTP_408, f"The body did not arrive within {BODY_SECONDS:g} seconds.") from error
    if len(body) < length:
        raise ApiError(falcon.HTTP_400, f"The body ended after {len(body)} of the declared {length} bytes.")
    return body


def read_struct(req: Request, kind: type[Body]) -> Body:
    """A JSON body as its struct; raises InvalidRequest with a sentence that names the field, and as `read_json`."""
    document = parse_object(read_json(req))
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        fault = explain(error, document, kind, name="a request")
        raise InvalidRequest(fault.sentence, fault.path) from error


def refuse_body(req: Request) -> None:
    """For requests that need none: an empty body is fine, a small JSON one is ignored."""
    if req.get_header("Transfer-Encoding"):
        raise _length_required()
    if req.content_length:
        _length(req)
        _require_json(req)


def _length(req: Request) -> int:
    length = req.content_length
    if length is None or req.get_header("Transfer-Encoding"):
        raise _length_required()
    if length > SIZE_LIMIT:
        raise ApiError(
            falcon.HTTP_413,
            f"The body has {length} bytes; at most {SIZE_LIMIT} are allowed.",
        )
    return length


def _length_required() -> ApiError:
    return ApiError(
        falcon.HTTP_411,
        "Send a Content-Length; a body of unknown length (chunked) is not accepted.",
    )


def _require_json(req: Request) -> None:
    kind = (req.content_type or "").partition(";")[0].strip().lower()
    if kind != falcon.MEDIA_JSON:
        shown = repr(kind[:100]) if kind else "missing"
        raise ApiError(falcon.HTTP_415, f"Content-Type is {shown}; it must be application/json.", field="Content-Type")
