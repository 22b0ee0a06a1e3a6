"""Compares answers with the OpenAPI description: each status, type and field must be described."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from http_api.app import ROUTES
from http_api.openapi import describe

#: What every address may answer: unknown addresses, wrong methods.
_ANYWHERE = (404, 405)
#: Where all that is served is described.
_API = ("/api", "/v1", "/sdapi")
#: What a request without an operation may get as well: writes from other web sites go nowhere.
_UNROUTED = (*_ANYWHERE, 403)


@cache
def _document() -> dict[str, Any]:
    return describe(ROUTES)


@cache
def _templates() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    return [(re.compile(re.sub(r"{\w+}", "[^/]*", path)), methods) for path, methods in _document()["paths"].items()]


@cache
def _validator(operation_id: str, status: str, media: str) -> Draft202012Validator:
    """The validator of one kind of answer; making it costs more than its use."""
    operations = [operation for methods in _document()["paths"].values() for operation in methods.values()]
    (operation,) = [operation for operation in operations if operation["operationId"] == operation_id]
    schema = operation["responses"][status]["content"][media]["schema"]
    return Draft202012Validator({**schema, "components": _document()["components"]})


def check_answer(method: str, path: str, status: int, content_type: str, body: bytes) -> None:
    """Fail unless this answer is described for this request."""
    operation = _operation(method, path)
    if operation is None or (status in _ANYWHERE and str(status) not in operation["responses"]):
        if path.startswith(_API) and method != "OPTIONS" and status != 304:
            assert status in _UNROUTED, f"{method} {path} is not described, but answers {status}"
        return
    described = operation["responses"].get(str(status))
    assert described, f"{method} {path}: {status} is not described; {body[:300]!r}"
    media = content_type.partition(";")[0]
    if not body:
        return
    assert {media, "*/*"} & described["content"].keys(), f"{method} {path}: {media} is not described for {status}"
    if media == "application/json":
        _validator(operation["operationId"], str(status), media).validate(json.loads(body))


def _operation(method: str, path: str) -> dict[str, Any] | None:
    method = "get" if method == "HEAD" else method.lower()
    for template, methods in _templates():
        if template.fullmatch(path.rstrip("/") or "/"):
            found: dict[str, Any] | None = methods.get(method)
            return found
    return None
