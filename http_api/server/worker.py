"""gunicorn's gevent worker, with errors in the API's form for what gunicorn refuses by itself, and its log."""

from __future__ import annotations

import errno
import json
import secrets
import socket
import struct
from collections import OrderedDict
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final

import gevent
from gunicorn.glogging import Logger
from gunicorn.http import errors, message
from gunicorn.workers.ggevent import GeventWorker

from core.strict_json import SIZE_LIMIT
from http_api.server import stopping

#: The longest request line, in bytes: a search and a model of 1,000 characters, each of four bytes that are written
#: as %F0%9F%98%80, and what stands around them.
LONGEST_REQUEST_LINE: Final = 32 * 1024
#: How long a client may take nothing (or send nothing, within a request) before its connection is closed.
SILENCE_SECONDS: Final = 30.0
#: Bytes that the kernel keeps for a client that does not take them; those on their way are not counted.
_KEPT_UNSENT: Final = 128 << 10
#: A worker with more of its connections in use than this is crowded: each new one takes the place of an idle one.
_CROWDED: Final = 0.8
#: Closing a socket with this drops what it has not sent.
_DROP_UNSENT: Final = struct.pack("ii", 1, 0)
# gunicorn caps its own setting at this constant, and offers no other way.
message.MAX_REQUEST_LINE = LONGEST_REQUEST_LINE  # type: ignore[misc]


class HostMissing(errors.ParseException):
    """A request of HTTP/1.1 without a Host, or one with several."""


#: Requests that never reach the application: status and sentence by gunicorn's error.
_REFUSALS: Final[dict[type[Exception], tuple[HTTPStatus, str]]] = {
    errors.LimitRequestLine: (HTTPStatus.REQUEST_URI_TOO_LONG, "The address is too long."),
    errors.LimitRequestHeaders: (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The request has too many header fields, or one is too long.",
    ),
    errors.UnsupportedTransferCoding: (HTTPStatus.NOT_IMPLEMENTED, "This transfer coding is not supported."),
    errors.ExpectationFailed: (HTTPStatus.EXPECTATION_FAILED, "This Expect header cannot be met."),
    HostMissing: (HTTPStatus.BAD_REQUEST, "Send exactly one Host header; HTTP/1.1 needs it."),
    errors.ParseException: (HTTPStatus.BAD_REQUEST, "The request is not valid HTTP."),
}


class ServerLog(Logger):
    """gunicorn's log without its access log: the application logs its requests itself.

    gunicorn gathers the facts for a line per request even where nobody reads them, as soon as logging is
    configured by a dictionary; that costs a fifth of a short request.
    """

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Nothing."""


class _IdleTime(gevent.Timeout):  # type: ignore[misc]  # gevent's types are not read
    """The time in which the head of a request must arrive, of one connection; it can be ended early."""

    def __init__(self, seconds: float, idle: OrderedDict[_IdleTime, None]) -> None:
        super().__init__(seconds, False)
        self._idle = idle
        self._greenlet: Any = None

    def __enter__(self) -> Any:
        self._greenlet = gevent.getcurrent()
        self._idle[self] = None
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> Any:
        self._greenlet = None
        self._idle.pop(self, None)  # it is gone already if it was chosen to be ended
        return super().__exit__(kind, value, trace)

    def end(self) -> None:
        """As if the time were over, unless the head has arrived meanwhile; for the hub to call."""
        if self._greenlet is not None:
            self._greenlet.throw(self)


class Worker(GeventWorker):
    """Lets go of clients that are too slow, closes the connection after a body that is too long, refuses in JSON."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._open = 0
        #: Connections that wait for the head of a request, the longest waiting first.
        self._idle: OrderedDict[_IdleTime, None] = OrderedDict()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection."""
        client.settimeout(SILENCE_SECONDS)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _KEPT_UNSENT)
        self._open += 1
        if self._is_crowded() and self._idle:
            gevent.get_hub().loop.run_callback(self._idle.popitem(last=False)[0].end)
        try:
            super(GeventWorker, self).handle(listener, client, addr)  # GeventWorker would take the time-out away
        finally:
            self._open -= 1

    def timeout_ctx(self) -> Any:
        """How long to wait for the head of a request, the first or the next one."""
        return _IdleTime(self.cfg.keepalive, self._idle)

    def _is_crowded(self) -> bool:
        return bool(self._open > _CROWDED * self.worker_connections)

    # gunicorn's own gevent worker returns nothing either, whatever its stubs say.
    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:  # type: ignore[override]
        """Serve one request."""
        names = [value for name, value in req.headers if name == "HOST"]
        if len(names) > 1 or (not names and req.version >= (1, 1)):
            raise HostMissing("no Host, or several")
        if _must_close(req) or self._is_crowded():
            req.force_close()
        try:
            super().handle_request(listener_name, req, sock, addr)
        except TimeoutError as error:
            self.log.info("Closed the connection of %s, which took nothing for %g s", addr[0], SILENCE_SECONDS)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_UNSENT)
            raise ConnectionResetError(errno.ECONNRESET, "the client took nothing") from error
        if not self.alive:  # it has served as many requests as a worker may
            stopping.begin()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: finish what runs, and tell what would run for hours."""
        stopping.begin()
        super().handle_exit(sig, frame)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that could not be read."""
        refusal = next((_REFUSALS[kind] for kind in type(exc).__mro__ if kind in _REFUSALS), None)
        if refusal is None:
            super().handle_error(req, client, addr, exc)
            return
        request_id = secrets.token_hex(16)
        self.log.warning("Refused a request (%s) from %s: %s", request_id, (addr or ("",))[0], exc)
        try:
            client.sendall(_response(*refusal, request_id))
        except OSError as error:
            self.log.debug("The client was gone: %s", error)


def _must_close(req: Any) -> bool:
    """Whether the body will not be read, so that what follows on this connection is not a request."""
    headers = dict(req.headers)
    length = headers.get("CONTENT-LENGTH", "0")
    return "TRANSFER-ENCODING" in headers or (length.isdigit() and int(length) > SIZE_LIMIT)


def _response(status: HTTPStatus, sentence: str, request_id: str) -> bytes:
    body = json.dumps({"status": "error", "message": sentence, "request_id": request_id}).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Connection: close\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
        "Cross-Origin-Resource-Policy: same-origin\r\n"
        f"Cache-Control: no-store\r\nX-Request-Id: {request_id}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
