"""A small reverse proxy for tests: takes a path prefix away, sets header fields, and passes streams on at once."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding"}


@contextmanager
def reverse_proxy(upstream: str, prefix: str = "", fields: Mapping[str, str] | None = None) -> Iterator[str]:
    """A proxy before the server at `upstream`; returns its own base URL, without the prefix.

    `fields` are the header fields that it sets in each request; what the client sends stays otherwise.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.RequestHandlerClass = _handler(urlsplit(upstream).netloc, prefix, dict(fields or {}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _handler(netloc: str, prefix: str, fields: dict[str, str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404, "Not below the prefix")
                return
            length = int(self.headers.get("Content-Length", "0"))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED_ON}
            connection = http.client.HTTPConnection(netloc, timeout=120)
            connection.request(self.command, self.path[len(prefix) :], self.rfile.read(length), {**headers, **fields})
            with connection.getresponse() as answer:
                self._answer(answer)
            connection.close()

        def _answer(self, answer: http.client.HTTPResponse) -> None:
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in _NOT_PASSED_ON:
                    self.send_header(name, value)
            self.end_headers()
            try:
                while data := answer.read1(65536):
                    self.wfile.write(data)
                    self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):  # the browser left a stream
                return

        do_GET = do_HEAD = do_POST = do_DELETE = do_OPTIONS = _pass_on  # noqa: N815 - the base class names them

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    return Handler
