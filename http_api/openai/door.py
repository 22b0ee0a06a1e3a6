"""Where the door is, and how OpenAI tells errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct

from http_api.door import Door, Failure

#: Longer waits than this (seconds) the client's library does not sit out.
_LONGEST_WAIT: Final = 60


class OpenAIErrorDetail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What went wrong."""

    message: Annotated[str, Meta(description="What is wrong, with which value, and what would be right")]
    type: Annotated[str, Meta(description="invalid_request_error, rate_limit_error or server_error")]
    param: Annotated[str | None, Meta(description="The field that is wrong")]
    code: Annotated[str | None, Meta(description="A stable word for programs")]


class OpenAIErrorAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every error of this door has this form."""

    error: OpenAIErrorDetail


#: Codes of OpenAI's, by status.
_CODES: Final = {401: "invalid_api_key", 403: "insufficient_permissions", 429: "rate_limit_exceeded"}


def detail(failure: Failure) -> OpenAIErrorDetail:
    """A failure in OpenAI's words."""
    return OpenAIErrorDetail(
        message=failure.message,
        type=_type(failure.status),
        param=failure.extra.get("field"),
        code=failure.extra.get("code") or _CODES.get(failure.status) or failure.extra.get("error_type"),
    )


def _type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def _headers(failure: Failure) -> Mapping[str, str]:
    """Whether the library is to send the request again by itself: only where waiting helps."""
    wait = failure.extra.get("retry_after")
    return {"X-Should-Retry": "true" if wait is not None and wait <= _LONGEST_WAIT else "false"}


DOOR: Final = Door(
    prefix="/v1",
    error=OpenAIErrorAnswer,
    tell=lambda failure: OpenAIErrorAnswer(error=detail(failure)),
    # The library takes 409 for a lock that time frees, and sends the request again.
    statuses={409: 400},
    headers=_headers,
    ignores_unknown=True,
)
