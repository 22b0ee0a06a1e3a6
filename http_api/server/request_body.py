"""Request bodies: capped before they are read, of a type that is expected, whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

import falcon
import msgspec
from falcon import Request
from falcon.media.multipart import MultipartForm, MultipartParseError, MultipartParseOptions
from msgspec import Struct

from core.errors import InvalidRequest
from core.explain import explain
from core.strict_json import SIZE_LIMIT, parse_object
from http_api.server import blocking, places
from http_api.server.client_address import sender
from http_api.server.errors import ApiError

#: How long a client may take to send its body, in seconds; a large one may take longer.
BODY_SECONDS: Final = 30.0
_LARGE_BODY_SECONDS: Final = 120.0
#: What a form may hold beside the file.
_MOST_PARTS: Final = 8
_FORM: Final = "multipart/form-data"
#: Room for what a form writes around its file, in bytes.
FORM_BYTES: Final = 16 * 1024

Body = TypeVar("Body", bound=Struct)


def read_json(req: Request) -> bytes:
    """The bytes of a JSON body; raises ApiError 400, 408, 411, 413, 415, and 503 while too many are being sent."""
    length = _length(req)
    _require(req, (falcon.MEDIA_JSON,))
    return _read(req, length)


def read_file(req: Request, kinds: Sequence[str]) -> bytes:
    """The bytes of a file that is the body, or the one file of a form. Raises as `read_json`."""
    length = _length(req)
    kind = _require(req, (*kinds, _FORM))
    body = _read(req, length)
    return _file_of_form(req, body) if kind == _FORM else body


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
        _require(req, (falcon.MEDIA_JSON,))


def _read(req: Request, length: int) -> bytes:
    is_large = length > SIZE_LIMIT
    seconds = _LARGE_BODY_SECONDS if is_large else BODY_SECONDS
    place = (places.LARGE_BODIES if is_large else places.BODIES).take(sender(req).key)
    if place is None:
        raise ApiError(falcon.HTTP_503, "Too many requests are still being sent; try again shortly.", wait=5)
    try:
        with place, blocking.time_limit(seconds):
            body = req.bounded_stream.read()
    except TimeoutError as error:
        raise ApiError(falcon.HTTP_408, f"The body did not arrive within {seconds:g} seconds.") from error
    if len(body) < length:
        raise ApiError(falcon.HTTP_400, f"The body ended after {len(body)} of the declared {length} bytes.")
    return body


class Part(NamedTuple):
    """One part of a form."""

    name: str
    #: None where the part is no file.
    filename: str | None
    content: bytes


def read_form(req: Request, most_parts: int) -> list[Part]:
    """The parts of a form, at most so many. Raises as `read_json`."""
    length = _length(req)
    _require(req, (_FORM,))
    return _parts(req, _read(req, length), most_parts)


def _parts(req: Request, body: bytes, most: int) -> list[Part]:
    try:
        return [Part(part.name or "", part.filename, part.stream.read()) for part in _form(req, body, most)]
    except (MultipartParseError, ValueError) as error:
        raise ApiError(falcon.HTTP_400, f"The form cannot be read: {_reason(error)}") from error


def _file_of_form(req: Request, body: bytes) -> bytes:
    """The content of the one part of a form that has a file name, or that is the only part."""
    parts = _parts(req, body, _MOST_PARTS)
    files = [part.content for part in parts if part.filename] or [part.content for part in parts]
    if len(files) != 1:
        raise ApiError(falcon.HTTP_400, f"The form has {len(files)} files; send exactly one.")
    return files[0]


def _form(req: Request, body: bytes, most_parts: int) -> MultipartForm:
    _, options = falcon.parse_header(req.content_type or "")
    boundary = options.get("boundary", "")
    if not 1 <= len(boundary) <= 70 or not boundary.isascii():
        raise ApiError(falcon.HTTP_400, "The form names no boundary, or one that is too long.", field="Content-Type")
    parsing = MultipartParseOptions()
    parsing.max_body_part_count = most_parts
    return MultipartForm(io.BytesIO(body), boundary.encode(), len(body), parsing)


def _reason(error: Exception) -> str:
    return str(getattr(error, "description", None) or error or "it is not whole")[:200]


def _length(req: Request) -> int:
    length, limit = req.content_length, int(req.context.body_limit)
    if length is None or req.get_header("Transfer-Encoding"):
        raise _length_required()
    if length > limit:
        raise ApiError(
            falcon.HTTP_413,
            f"The body has {length} bytes; at most {limit} are allowed.",
        )
    return length


def _length_required() -> ApiError:
    return ApiError(
        falcon.HTTP_411,
        "Send a Content-Length; a body of unknown length (chunked) is not accepted.",
    )


def _require(req: Request, kinds: Sequence[str]) -> str:
    kind = (req.content_type or "").partition(";")[0].strip().lower()
    if kind not in kinds:
        shown = repr(kind[:100]) if kind else "missing"
        right = kinds[0] if len(kinds) == 1 else f"one of {', '.join(kinds)}"
        raise ApiError(falcon.HTTP_415, f"Content-Type is {shown}; it must be {right}.", field="Content-Type")
    return kind
