"""Where the door is, and how the web UI tells errors."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from http_api.door import Door, Failure

_NAMES: Final = {401: "unauthorized", 403: "forbidden", 404: "not_found", 422: "invalid_request", 429: "rate_limited"}


class A1111ErrorAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every error of this door has this form."""

    error: Annotated[str, Meta(description="A stable word for programs")]
    detail: Annotated[str, Meta(description="What is wrong, with which value, and what would be right")]
    body: Annotated[str, Meta(description="Always empty")] = ""
    errors: Annotated[str, Meta(description="As detail")]


def _tell(failure: Failure) -> A1111ErrorAnswer:
    usual = _NAMES.get(DOOR.status(failure.status), "error")
    word = failure.extra.get("error_type") or usual
    return A1111ErrorAnswer(error=word, detail=failure.message, errors=failure.message)


DOOR: Final = Door(
    prefix="/sdapi/v1",
    error=A1111ErrorAnswer,
    tell=_tell,
    statuses={400: 422},
    challenge='Basic realm="CyberImage", Bearer',
    ignores_unknown=True,
)
