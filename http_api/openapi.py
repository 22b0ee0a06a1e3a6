"""The OpenAPI 3.1 description, made from the types that validate requests and those of the answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from enrich.enricher import STYLES
from http_api.api import answers
from http_api.api.enrich import EnrichRequest
from http_api.api.gallery import MAX_LIMIT as GALLERY_LIMIT
from http_api.api.jobs import MAX_LIMIT as JOBS_LIMIT
from http_api.api.jobs import STATUSES
from http_api.api.status import MAX_WAIT
from jobs.catalog import Capabilities
from jobs.limits import Limits
from jobs.schema import EffectiveSettings, GenerateRequest, ModelDefaults

_Schema = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What one method of one address does. Answers are types, or media types where they are no JSON."""

    method: str
    path: str
    about: str
    answers: dict[int, type | str]
    #: Error statuses beside those that every operation may have.
    errors: tuple[int, ...] = ()
    parameters: tuple[_Schema, ...] = ()
    body: type | None = None

    @property
    def name(self) -> str:
        """An id for generators of clients."""
        words = re.findall(r"[a-z_]+", self.path.removeprefix("/api"))
        return "_".join([self.method, *words]) or self.method


def _query(name: str, schema: _Schema, about: str) -> _Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": about}


def _header(name: str, about: str) -> _Schema:
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": about}


def _integer(minimum: int, maximum: int, default: int) -> _Schema:
    return {"type": "integer", "minimum": minimum, "maximum": maximum, "default": default}


_TEXT: Final[_Schema] = {"type": "string", "maxLength": 1000}
_KEY: Final = _header("Idempotency-Key", "The same key and request give the same job, also after its end")
_KNOWN: Final = _header("If-None-Match", "The ETag of the last answer: 304 if nothing has changed")
_RANGE: Final = _header("Range", "bytes=first-last: only a part of the file")

OPERATIONS: Final = (
    Operation(method="get", path="/api/models", about="List the models", answers={200: answers.ModelsAnswer}),
    Operation(
        method="post",
        path="/api/generate",
        about="Submit a job",
        body=GenerateRequest,
        parameters=(_KEY,),
        answers={200: answers.AcceptedAnswer},
        errors=(408, 411, 413, 415, 422, 429, 503),
    ),
    Operation(
        method="get",
        path="/api/status/{job_id}",
        about="See how a job is doing, at once or when there is news",
        parameters=(
            _query(
                "wait", _integer(0, MAX_WAIT, 0), "Seconds to wait for its end, or with If-None-Match for any change"
            ),
            _KNOWN,
        ),
        answers={200: answers.StatusAnswer, 304: ""},
    ),
    Operation(
        method="get",
        path="/api/get_image/{image_id}",
        about="Download an image",
        parameters=(_KNOWN, _RANGE),
        answers={200: "image/png", 206: "image/png", 304: ""},
        errors=(416,),
    ),
    Operation(
        method="get",
        path="/api/image/{image_id}/thumbnail",
        about="A small version of an image",
        parameters=(_KNOWN, _RANGE),
        answers={200: "image/webp", 206: "image/webp", 304: ""},
        errors=(416,),
    ),
    Operation(
        method="get",
        path="/api/image/{image_id}/metadata",
        about="Everything about an image",
        answers={200: answers.MetadataAnswer},
    ),
    Operation(
        method="delete",
        path="/api/image/{image_id}",
        about="Delete an image; its job stays",
        answers={200: answers.DoneAnswer},
        errors=(411, 413, 415),
    ),
    Operation(
        method="get",
        path="/api/queue",
        about="Count the jobs",
        parameters=(_query("detailed", {"type": "boolean", "default": False}, "Also the last 24 hours, by model"),),
        answers={200: answers.QueueAnswer},
    ),
    Operation(
        method="post",
        path="/api/reset_queue",
        about="Return jobs whose runner is gone to pending; a living job is never touched",
        answers={200: answers.ResetAnswer},
        errors=(411, 413, 415, 503),
    ),
    Operation(
        method="get",
        path="/api/gallery",
        about="Browse and search the images, newest first",
        parameters=(
            _query("page", _integer(1, 1_000_000, 1), "Page number"),
            _query(
                "limit",
                _integer(1, 999_999_999, 20),
                f"Images per page; more than {GALLERY_LIMIT} gives {GALLERY_LIMIT}",
            ),
            _query("search", _TEXT, "Every word must occur in the prompt or the model"),
            _query("model", _TEXT, "Only images of this model"),
        ),
        answers={200: answers.GalleryAnswer},
    ),
    Operation(
        method="post",
        path="/api/enrich",
        about=f"Make a fuller prompt in one of the styles {', '.join(STYLES)}",
        body=EnrichRequest,
        answers={200: answers.EnrichAnswer},
        errors=(408, 411, 413, 415),
    ),
    Operation(
        method="get",
        path="/api/jobs",
        about="List jobs, newest first",
        parameters=(
            _query("status", {"type": "string", "enum": list(STATUSES)}, "Only jobs with this status"),
            _query("model", _TEXT, "Only jobs of this model"),
            _query("limit", _integer(1, JOBS_LIMIT, 20), "Jobs per page"),
            _query("cursor", _TEXT, "The next_cursor of the page before"),
        ),
        answers={200: answers.JobsAnswer},
    ),
    Operation(
        method="get",
        path="/api/jobs/{job_id}/events",
        about="Follow a job: `status` events with the answer of /api/status, and one `end` event",
        parameters=(_header("Last-Event-ID", "The id of the last event seen; it is not sent again"),),
        answers={200: "text/event-stream", 204: ""},
        errors=(503,),
    ),
    Operation(
        method="get",
        path="/api/jobs/{job_id}/preview",
        about="How the image in hand looks so far",
        parameters=(
            _query("version", _TEXT, "As in preview_url: a word that makes each preview's address its own"),
            _KNOWN,
        ),
        answers={200: "image/webp", 206: "image/webp", 304: ""},
        errors=(416,),
    ),
    Operation(
        method="post",
        path="/api/jobs/{job_id}/cancel",
        about="Cancel a job: at once if it waits, within a step if it runs",
        answers={200: answers.CancelAnswer},
        errors=(409, 411, 413, 415, 503),
    ),
    Operation(
        method="post",
        path="/api/jobs/{job_id}/retry",
        about="Submit the request of an ended job again, with its seed",
        parameters=(_KEY,),
        answers={200: answers.AcceptedAnswer},
        errors=(409, 411, 413, 415, 422, 429, 503),
    ),
    Operation(method="get", path="/api/openapi.json", about="This description", answers={200: "application/json"}),
    Operation(
        method="get", path="/health/live", about="Whether the process answers", answers={200: answers.LiveAnswer}
    ),
    Operation(
        method="get",
        path="/health/ready",
        about="Whether a job sent now would be taken and drawn",
        answers={200: answers.ReadyAnswer, 503: answers.ReadyAnswer},
    ),
    Operation(method="get", path="/metrics", about="Figures for Prometheus", answers={200: "text/plain"}),
)


#: Fields of these may be left out of a file, but never of an answer.
_ALWAYS_WHOLE: Final = (EffectiveSettings, ModelDefaults, Limits, Capabilities)
_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, where the operator demands one"},
    "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}


def describe() -> dict[str, Any]:
    """The whole document."""
    types = sorted(_types(), key=lambda kind: kind.__name__)
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    for kind in _ALWAYS_WHOLE:
        components[kind.__name__]["required"] = sorted(components[kind.__name__]["properties"])
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CyberImage",
            "version": "1",
            "description": "Text to image: submit a job, follow it, look at the images.",
        },
        "paths": paths,
        "security": [{}, {"bearer": []}, {"header": []}],
        "components": {"schemas": components, "securitySchemes": _SECURITY},
    }


def _types() -> set[type]:
    found: set[type] = {answers.ErrorAnswer}
    for operation in OPERATIONS:
        found |= {answer for answer in operation.answers.values() if isinstance(answer, type)}
        found |= {operation.body} if operation.body else set()
    return found


def _operation(operation: Operation, by_type: dict[type, _Schema]) -> _Schema:
    described: _Schema = {
        "operationId": operation.name,
        "summary": operation.about,
        "parameters": [*_path_parameters(operation.path), *operation.parameters],
        "responses": _responses(operation, by_type),
    }
    if operation.body:
        described["requestBody"] = {"required": True, "content": _content(by_type[operation.body])}
    return described


def _path_parameters(path: str) -> list[_Schema]:
    schema = {"type": "string"}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in re.findall(r"{(\w+)}", path)]


def _responses(operation: Operation, by_type: dict[type, _Schema]) -> _Schema:
    found = {str(status): _response(status, answer, by_type) for status, answer in operation.answers.items()}
    general = [400, 401, 403, 414, 417, 431, 500, 501, 503] + ([404] if "{" in operation.path else [])
    for status in sorted({*general, *operation.errors} - set(operation.answers)):
        found[str(status)] = _response(status, answers.ErrorAnswer, by_type)
    return found


def _response(status: int, answer: type | str, by_type: dict[type, _Schema]) -> _Schema:
    about = {"description": _MEANINGS[status]}
    if isinstance(answer, type):
        return {**about, "content": _content(by_type[answer])}
    return {**about, "content": {answer: {}}} if answer else about


def _content(schema: _Schema) -> _Schema:
    return {"application/json": {"schema": schema}}


_MEANINGS: Final = {
    200: "Success",
    204: "The job has ended, and the client knows",
    206: "The part that was asked for",
    304: "Nothing has changed",
    400: "The request is wrong",
    401: "A key is needed",
    403: "This key may not, or the request comes from another web site",
    404: "There is no such job or image",
    408: "The body did not arrive in time",
    409: "The job's state does not allow it",
    411: "Content-Length is missing",
    413: "The body is too large",
    415: "The body is not JSON",
    414: "The address is too long",
    416: "The range lies outside of the file",
    417: "The Expect header cannot be met",
    422: "The Idempotency-Key was used for another request",
    429: "The rate limit is reached",
    431: "Too many header fields, or one that is too long",
    500: "An internal error, or a damaged file",
    501: "The transfer coding is not supported",
    503: "The storage, the queue or the index cannot take it now; see Retry-After",
}
