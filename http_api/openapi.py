"""The OpenAPI 3.1 description, made from the tables of routes and the types that their rows name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import falcon
import msgspec
from msgspec import Struct

from http_api.access import Scope
from http_api.door import NATIVE
from http_api.route import Answer, Operation, Route
from jobs.catalog import Capabilities
from jobs.limits import Limits
from jobs.schema import EffectiveSettings, ModelDefaults

_Schema = dict[str, Any]
_Kind = type[Struct] | type[list[Any]]
_Schemas = dict[_Kind, _Schema]

#: Fields of these may be left out of a file, but never of an answer.
_ALWAYS_WHOLE: Final = (EffectiveSettings, ModelDefaults, Limits, Capabilities)
_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, where the operator demands one"},
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Api-Key",
        "description": "An API key, for clients that cannot send Authorization",
    },
    "basic": {"type": "http", "scheme": "basic", "description": "Any name, and an API key as the password"},
}
#: What any request may get, and what those may get that write, that send a body, or that need a key.
_ANY_ERRORS: Final = frozenset({400, 414, 417, 431, 500, 501, 503})
_WRITE_ERRORS: Final = frozenset({403, 411, 413, 415})
_BODY_ERRORS: Final = frozenset({408})
_KEY_ERRORS: Final = frozenset({401, 403})


def describe(routes: Iterable[Route], prefix: str = "") -> dict[str, Any]:
    """The whole document, of a server whose addresses lie below `prefix`."""
    table = tuple(routes)
    types = sorted(_types(table), key=str)
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    for kind in _ALWAYS_WHOLE:
        components[kind.__name__]["required"] = sorted(components[kind.__name__]["properties"])
    for row in (row for route in table for row in route.operations):
        if row.body and row.body_media == falcon.MEDIA_MULTIPART:
            _say_files(components[row.body.__name__])
    by_type = dict(zip(types, schemas, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CyberImage",
            "version": "1",
            "description": "Text to image: submit a job, follow it, look at the images.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": prefix or "/", "description": "This server"}],
        "tags": [{"name": tag.name, "description": tag.about} for tag in dict.fromkeys(route.tag for route in table)],
        "paths": {
            route.path: {row.method.lower(): _operation(route, row, by_type) for row in route.operations}
            for route in table
        },
        "security": [{}, *({name: []} for name in _SECURITY)],
        "components": {"schemas": components, "securitySchemes": _SECURITY},
    }


def _say_files(form: _Schema) -> None:
    """Describe the bytes of a form as what they are there: files, not texts in base64."""
    for schema in form.get("properties", {}).values():
        for option in (schema, *schema.get("anyOf", ())):
            if option.pop("contentEncoding", None):
                option["format"] = "binary"


def _types(routes: Iterable[Route]) -> set[_Kind]:
    found: set[_Kind] = {NATIVE.error}
    for route in routes:
        found.add(route.door.error)
        for operation in route.operations:
            for answer in operation.answers.values():
                found |= {kind for kind in _several(answer) if not isinstance(kind, str)}
            found |= {operation.body} if operation.body else set()
    return found


def _several(answer: Answer | tuple[Answer, ...] | None) -> tuple[Answer, ...]:
    if answer is None:
        return ()
    return answer if isinstance(answer, tuple) else (answer,)


def _operation(route: Route, operation: Operation, by_type: _Schemas) -> _Schema:
    described: _Schema = {
        "operationId": route.operation_id(operation),
        "tags": [route.tag.name],
        "summary": operation.summary,
        "description": _description(operation),
        "parameters": [*_path_parameters(route.path), *query_parameters(operation.query), *_headers(operation)],
        "responses": _responses(route, operation, by_type),
    }
    if operation.body:
        content = {operation.body_media: {"schema": by_type[operation.body]}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.file_body:
        described["requestBody"] = {"required": True, "content": _file(operation.file_body)}
    if operation.scope is Scope.OPEN:
        described["security"] = []
    return described


def _description(operation: Operation) -> str:
    if operation.scope is Scope.OPEN:
        return operation.description
    if operation.scope is Scope.ANY:
        return f"{operation.description} Where the operator demands keys, any will do."
    return f"{operation.description} Where the operator demands keys, one with the scope `{operation.scope}`."


def _path_parameters(path: str) -> list[_Schema]:
    schema = {"type": "string"}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in re.findall(r"{(\w+)}", path)]


def query_parameters(kind: type[Struct] | None) -> list[_Schema]:
    """The parameters that a struct declares; their absence is their default."""
    if kind is None:
        return []
    _, components = msgspec.json.schema_components([kind], ref_template="{name}")
    fields: dict[str, _Schema] = components[kind.__name__]["properties"]
    return [_parameter(name, "query", _plain(schema, components)) for name, schema in fields.items()]


def _plain(schema: _Schema, components: dict[str, _Schema]) -> _Schema:
    """A schema of what may be written: null stands for absence, and no address can hold it; enums are spelled out."""
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    kept = {key: value for key, value in schema.items() if key != "anyOf" and (key, value) != ("default", None)}
    option = options[0] if options else {}
    enum = components[option["$ref"]] if "$ref" in option else option
    return {**kept, **{key: value for key, value in enum.items() if key not in ("title", "description")}}


def _headers(operation: Operation) -> list[_Schema]:
    return [
        _parameter(header.name, "header", {"type": "string", "description": header.about})
        for header in operation.headers
    ]


def _parameter(name: str, place: str, schema: _Schema) -> _Schema:
    about = schema.pop("description", "")
    return {"name": name, "in": place, "required": False, "schema": schema, "description": about}


def _responses(route: Route, operation: Operation, by_type: _Schemas) -> _Schema:
    found = {str(status): _response(status, answer, by_type) for status, answer in operation.answers.items()}
    statuses = {route.door.status(status) for status in _errors(route.path, operation)}
    for status in sorted(statuses - set(operation.answers)):
        found[str(status)] = _response(status, route.door.error, by_type)
    return found


def _errors(path: str, operation: Operation) -> set[int]:
    return {
        *_ANY_ERRORS,
        *operation.errors,
        *([404] if "{" in path else []),
        *([416] if 206 in operation.answers else []),
        *(_KEY_ERRORS if operation.scope is not Scope.OPEN else []),
        *(_WRITE_ERRORS if not operation.is_reading else []),
        *(_BODY_ERRORS if operation.body or operation.file_body else []),
    }


def _response(status: int, answer: Answer | tuple[Answer, ...] | None, by_type: _Schemas) -> _Schema:
    content: _Schema = {}
    for kind in _several(answer):
        content |= _content(kind) if isinstance(kind, str) else _json(by_type[kind])
    return {"description": _MEANINGS[status], **({"content": content} if content else {})}


def _json(schema: _Schema) -> _Schema:
    return {"application/json": {"schema": schema}}


def _file(kinds: Iterable[str]) -> _Schema:
    """A body that is a file, or a form with one."""
    binary = {kind: {"schema": {"type": "string", "format": "binary", "contentMediaType": kind}} for kind in kinds}
    part = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"file": part}, "required": ["file"]}
    return {**binary, "multipart/form-data": {"schema": form}}


def _content(media: str) -> _Schema:
    """The content of an answer that no struct describes: text, any JSON, or bytes."""
    if media.startswith("text/"):
        return {media: {"schema": {"type": "string"}}}
    if media == "application/json":
        return _json({"type": "object"})
    kind = {} if "*" in media else {"contentMediaType": media}
    return {media: {"schema": {"type": "string", "format": "binary", **kind}}}


_MEANINGS: Final = {
    200: "Success",
    204: "The job has ended, and the client knows",
    206: "The part that was asked for",
    304: "Nothing has changed",
    308: "The same address without the slash at its end",
    400: "The request is wrong",
    401: "A key is needed",
    403: "This key may not, or the request comes from another web site",
    404: "There is no such job, image or input",
    408: "The body did not arrive in time",
    409: "The job's state does not allow it, or a newer version of this program wrote the job",
    411: "Content-Length is missing",
    413: "The body is too large",
    414: "The address is too long",
    415: "The body is of another type than is read here",
    416: "The range lies outside of the file",
    417: "The Expect header cannot be met",
    422: "The Idempotency-Key was used for another request",
    429: "The rate limit is reached",
    431: "Too many header fields, or one that is too long",
    500: "An internal error, or a damaged file",
    501: "The transfer coding is not supported",
    503: "The storage, the queue, the index or the server cannot take it now; see Retry-After",
}
