"""HTTP with the API: what is sent, what is tried again, and how answers become results or errors."""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from client import errors
from client.errors import (
    ClientError,
    InvalidAddress,
    InvalidSetup,
    RejectedInput,
    ServerUnavailable,
    ServerUnreachable,
    UnexpectedAnswer,
)
from client.proxies import proxy_for

Result = TypeVar("Result")

#: Seconds between the tries of a request that may safely be sent again.
_PAUSES: Final = (0.3, 1.0)
#: A server that asks for a longer wait than this gets no second try; the caller decides.
_LONGEST_PAUSE: Final = 5.0
_EVENTS: Final = "text/event-stream"
#: Seconds that a stream may be silent; the server says every 15 that it lives.
_SILENCE: Final = 45.0
#: What the system's errors begin with, and people need not read.
_ERRNO: Final = re.compile(r"^\[Errno -?\d+\] ")


class Transport:
    """Requests below one base address.

    Only requests marked `repeatable` are tried again, on lost connections and on 502, 503 and 504.
    """

    def __init__(
        self, url: str, api_key: str | None, timeout: float, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = address(url)
        self.timeout = timeout
        headers = {"Accept": "application/json", "User-Agent": "cyberimage-client"}
        if api_key:
            headers["Authorization"] = f"Bearer {_checked_key(api_key)}"
        proxy = proxy_for(self.url) if transport is None else None
        #: For messages: what stands between us and the server.
        self._way = f" through the proxy {proxy.shown}" if proxy else ""
        # The environment is read by us (client/proxies.py), and the certificates that it names by `_trust`.
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=timeout,
            transport=transport,
            verify=_trust(self.url),
            proxy=proxy.url if proxy else None,
            trust_env=False,
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

    def events(self, path: str) -> Iterator[tuple[str, bytes]]:
        """The events of a stream, each as its name and data, until the server ends it; raises ClientError."""
        headers, timeout = {"Accept": _EVENTS}, httpx.Timeout(self.timeout, read=max(self.timeout, _SILENCE))
        with self._explained(), self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
            if response.status_code >= 400:
                response.read()
                raise self._error(response)
            if not response.headers.get("Content-Type", "").startswith(_EVENTS):
                raise _unexpected(response)
            name, data = "", []
            for line in response.iter_lines():
                word, _, value = line.partition(":")
                if word == "event":
                    name = value.strip()
                elif word == "data":
                    data.append(value.removeprefix(" "))
                elif not line and data:
                    yield name, "\n".join(data).encode()
                    name, data = "", []

    def _send_once(self, request: httpx.Request) -> httpx.Response:
        with self._explained():
            response = self._http.send(request)
        if response.status_code >= 400:
            raise self._error(response)
        if not response.is_success and response.status_code != httpx.codes.NOT_MODIFIED:
            raise _unexpected(response)
        return response

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What goes wrong on the way, as errors of ours."""
        try:
            yield
        except httpx.TimeoutException as error:
            raise ServerUnreachable(f"{self.url} did not answer within {self.timeout:g} seconds{self._way}.") from error
        except httpx.TransportError as error:
            why = _ERRNO.sub("", str(error)).rstrip(".") or type(error).__name__
            raise ServerUnreachable(f"{self.url} cannot be reached{self._way}: {why}.") from error
        except httpx.DecodingError as error:
            raise UnexpectedAnswer(f"{self.url} sent an answer that cannot be decoded: {error}.") from error

    def _error(self, response: httpx.Response) -> ClientError:
        try:
            document = response.json()
        except ValueError:
            document = None
        message = document.get("message") if isinstance(document, dict) else None
        if not isinstance(message, str):
            answered = f"{response.status_code} {response.reason_phrase}".rstrip()
            message = f"{response.request.url} answered {answered}{self._way}."
        return errors.of_response(response.status_code, message, _retry_after(response))


def segment(identifier: str) -> str:
    """An id as one part of a path; raises RejectedInput for what can be no id."""
    if not identifier or identifier in (".", ".."):
        raise RejectedInput(f"{identifier!r} is not an id of a job or an image.")
    return quote(identifier, safe="")


def decoded(kind: type[Result], data: bytes, url: str) -> Result:
    """The data of an event as a `kind`; raises UnexpectedAnswer if it is none."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnexpectedAnswer(f"{url} sent an event that cannot be read: {error}.") from error


def parse(kind: type[Result], response: httpx.Response) -> Result:
    """The body as a `kind`; raises UnexpectedAnswer if it is none."""
    try:
        return msgspec.json.decode(response.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unexpected(response) from error


def address(url: str) -> str:
    """The address of a server in its one form, without `/api`; raises InvalidAddress."""
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        httpx.URL(url)
        (parts.hostname or "").encode("idna")  # a label that is empty or too long
    except (ValueError, httpx.InvalidURL):
        is_whole = False
    if not is_whole or not url.isprintable() or " " in url or "?" in url or "#" in url:
        raise InvalidAddress(
            f"The address is {url!r}; it must begin with http:// or https:// and name a host, as http://127.0.0.1:5050."
        )
    return url.rstrip("/").removesuffix("/api")


def _checked_key(key: str) -> str:
    """Without the space and line end that a file brings along; the message does not show the key."""
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidSetup("The API key holds characters that no key has; copy it again, without spaces or quotes.")
    return key


def _trust(url: str) -> ssl.SSLContext:
    """The usual authorities, or those of SSL_CERT_FILE, for https. Plain http needs none, and reading takes long."""
    if not url.startswith("https://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # an SSLError is one, too
        told = " or ".join(name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name))
        raise InvalidSetup(f"The certificates of {told or 'this machine'} cannot be read: {error}.") from error


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
