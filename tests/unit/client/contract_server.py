"""A server on a real port that plays the contract, no more: no `wait`, no ETag, no extra fields."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PNG = b"\x89PNG\r\n\x1a\nnot really"


class ContractServer(ThreadingHTTPServer):
    """Answers what `answers` says for "METHOD /path?query" or "METHOD /path", else 404.

    A callable is called with the body. Asked as a proxy, it knows whole addresses in place of paths.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Any] = {}
        #: What is answered in place of 404.
        self.otherwise: tuple[int, Any] | None = None
        self.seen: list[str] = []
        self.bodies: list[bytes] = []
        #: The Authorization of each request.
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: ContractServer

    def do_GET(self) -> None:
        name = f"{self.command} {self.path}"
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.seen.append(name)
        self.server.bodies.append(body)
        self.server.keys.append(self.headers.get("Authorization"))
        nothing = self.server.otherwise or (404, {"status": "error", "message": f"Nothing at {self.path}."})
        known = self.server.answers
        found = known.get(name) or known.get(name.partition("?")[0]) or nothing
        status, answer = found(body) if callable(found) else found
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        if content.startswith(b"event:"):
            self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815
    do_PUT = do_GET  # noqa: N815
    do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def contract_server() -> Iterator[ContractServer]:
    """A running one."""
    with ContractServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
