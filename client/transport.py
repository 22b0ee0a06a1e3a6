"""HTTP with the API: what is sent, what is tried again, and how answers become results or errors."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from client import errors
from client.errors import (
    ClientError,
    InvalidAddress,
    RejectedInput,
    ServerUnavailable,
    ServerUnreachable,
    UnexpectedAnswer,
)

Result = TypeVar("Result")

#: Seconds between the tries of a request that may safely be sent again.
_PAUSES: Final = (0.3, 1.0)
#: A server that asks for a longer wait than this gets no second try; the caller decides.
_LONGEST_PAUSE: Final = 5.0


class Transport:
    """Requests below one base address.

    Only requests marked `repeatable` are tried again, on lost connections and on 502, 503 and 504.
    """

    def __init__(
        self, url: str, api_key: str | None, timeout: float, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = _base(url)
        self.timeout = timeout
        headers = {"Accept": "application/json", "User-Agent": "cyberimage-client"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout, transport=transport, verify=_trust(self.url)
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def json(self, kind: type[Result], method: str, path: str, **options: Any) -> Result:
        """The answer as a `kind`; raises ClientError."""
        return parse(kind, self.send(method, path, **options))

    def send(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool = False,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        extra_time: float = 0,
    ) -> httpx.Response:
        """A successful answer (or 304); raises ClientError. `extra_time` is added to the time-out, in seconds."""
        request = self._http.build_request(
            method,
            path,
            params={name: value for name, value in (params or {}).items() if value is not None},
            content=body,
            headers={**({"Content-Type": "application/json"} if body is not None else {}), **(headers or {})},
            timeout=httpx.Timeout(self.timeout, read=self.timeout + extra_time),
        )
        for pause in _PAUSES if repeatable else ():
            try:
                return self._send_once(request)
            except (ServerUnreachable, ServerUnavailable) as error:
                if (error.retry_after or 0) > _LONGEST_PAUSE:
                    raise
                time.sleep(max(pause, error.retry_after or 0))
        return self._send_once(request)

    def _send_once(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._http.send(request)
        except httpx.TimeoutException as error:
            raise ServerUnreachable(f"{self.url} did not answer within {self.timeout:g} seconds.") from error
        except httpx.TransportError as error:
            raise ServerUnreachable(f"{self.url} cannot be reached: {error or type(error).__name__}.") from error
        except httpx.DecodingError as error:
            raise UnexpectedAnswer(f"{self.url} sent an answer that cannot be decoded: {error}.") from error
        if response.status_code >= 400:
            raise _error(response)
        if not response.is_success and response.status_code != httpx.codes.NOT_MODIFIED:
            raise _unexpected(response)
        return response


def segment(identifier: str) -> str:
    """An id as one part of a path; raises RejectedInput for what can be no id."""
    if not identifier or identifier in (".", ".."):
        raise RejectedInput(f"{identifier!r} is not an id of a job or an image.")
    return quote(identifier, safe="")


def parse(kind: type[Result], response: httpx.Response) -> Result:
    """The body as a `kind`; raises UnexpectedAnswer if it is none."""
    try:
        return msgspec.json.decode(response.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unexpected(response) from error


def _base(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidAddress(f"The address is {url!r}; it must begin with http:// or https:// and name a host.")
    return url.rstrip("/").removesuffix("/api")


def _trust(url: str) -> bool | ssl.SSLContext:
    """The usual authorities for https. Plain http needs none, and reading them takes longer than all else."""
    return True if url.startswith("https://") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _error(response: httpx.Response) -> ClientError:
    try:
        document = response.json()
    except ValueError:
        document = None
    message = document.get("message") if isinstance(document, dict) else None
    if not isinstance(message, str):
        message = f"{response.request.url} answered {response.status_code} {response.reason_phrase}."
    return errors.of_response(response.status_code, message, _retry_after(response))


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; the form with a date is not used by this API and reads as none."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _unexpected(response: httpx.Response) -> UnexpectedAnswer:
    kind = response.headers.get("Content-Type", "no content type")
    return UnexpectedAnswer(
        f"{response.request.url} answered {response.status_code} with {kind}, not as the CyberImage API does; "
        "is the address right?",
        status=response.status_code,
    )
