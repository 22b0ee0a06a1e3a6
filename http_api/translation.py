"""From the words of another API to a request of ours, and back in what is said of its faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from core.errors import InvalidRequest
from core.explain import explain
from core.strict_json import parse_object
from jobs.requests import RequestValidator
from jobs.schema import GenerateRequest

Body = TypeVar("Body", bound=Struct)


def read(document: Mapping[str, Any], kind: type[Body], *, strict: bool = True) -> Body:
    """The struct of a body, without the fields that it does not know; raises InvalidRequest in the body's own words.

    Without `strict` numbers and booleans may be texts, as the fields of a form are.
    """
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    given = {name: value for name, value in document.items() if name in known}
    try:
        return msgspec.convert(given, kind, strict=strict)
    except msgspec.ValidationError as error:
        fault = explain(error, given, kind, name="the request")
        raise InvalidRequest(fault.sentence, fault.path) from error


def read_json(raw: bytes, kind: type[Body]) -> Body:
    """As `read`, of a body of JSON."""
    return read(parse_object(raw), kind)


def request_of(
    validator: RequestValidator, fields: Mapping[str, Any], settings: Mapping[str, Any], words: Mapping[str, str]
) -> GenerateRequest:
    """A valid request of ours, of the fields and settings that are not None.

    Raises InvalidRequest with a sentence in which `words` stand for the names of ours; what stands before the first
    blank of a word is the field that it names.
    """
    body: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    body["settings"] = {name: value for name, value in settings.items() if value is not None}
    try:
        return validator.generate(msgspec.json.encode(body))
    except InvalidRequest as error:
        raise InvalidRequest(
            _translated(error, words), words.get(error.field, error.field).partition(" ")[0]
        ) from error


def _translated(error: InvalidRequest, words: Mapping[str, str]) -> str:
    """The sentence in which other words stand for the names of fields; plain ones are names only where it begins."""
    message = error.message
    for name in sorted(words, key=len, reverse=True):
        if "." in name or "_" in name:
            message = message.replace(name, words[name])
        elif message.startswith(f"{name} "):
            message = words[name] + message.removeprefix(name)
    return message
