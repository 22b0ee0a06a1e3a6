"""What can go wrong between a client and the API: one family, each with a sentence for people."""

from __future__ import annotations

from client.results import JobStatus


class ClientError(Exception):
    """The base of all errors of the client.

    `message` is the API's own sentence where there is one, `status` the HTTP status (None if there was no
    answer), `retry_after` the seconds that the API asks to wait (None if it does not say).
    """

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.retry_after = retry_after


class InvalidSetup(ClientError, ValueError):
    """What the client was told about its surroundings (address, key, proxy, certificates) cannot be used as it is.

    Nothing was sent.
    """


class InvalidAddress(InvalidSetup):
    """The address of the server is none; nothing was sent."""


class NotFound(ClientError):
    """404: there is no such job or image."""


class RejectedInput(ClientError):
    """Any other 4xx: the request cannot be served as it is."""


class RateLimited(ClientError):
    """429: this client has submitted too many jobs recently; see `retry_after`."""


class ServerError(ClientError):
    """5xx: the fault is the server's."""


class ServerUnavailable(ServerError):
    """502, 503 or 504: the server cannot take the request now (a full queue or disk, a restart)."""


class ServerUnreachable(ClientError):
    """No answer: nobody listens at the address, or the connection broke or took too long."""


class UnexpectedAnswer(ClientError):
    """An answer that this API never gives; most likely something else listens at the address."""


class WaitTimedOut(ClientError):
    """The job had not ended within the time that `wait` was given; it goes on at the server."""


class JobFailed(ClientError):
    """The job ended without its images; `job` is its last status (`job.error_type` is `cancelled` if so)."""

    def __init__(self, job: JobStatus) -> None:
        super().__init__(job.error_message or job.message or "The job failed and the server does not say why.")
        self.job = job


def of_response(status: int, message: str, retry_after: float | None) -> ClientError:
    """The error for an HTTP status of 400 and above."""
    return _kind(status)(message, status=status, retry_after=retry_after)


def _kind(status: int) -> type[ClientError]:
    special: dict[int, type[ClientError]] = {
        404: NotFound,
        429: RateLimited,
        502: ServerUnavailable,
        503: ServerUnavailable,
        504: ServerUnavailable,
    }
    return special.get(status, ServerError if status >= 500 else RejectedInput)
