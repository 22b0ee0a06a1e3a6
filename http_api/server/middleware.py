"""What happens around every request: an id for it, the safety headers, and no cross-site writes."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
import time
from typing import Any, Final

import falcon
from falcon import Request, Response

from http_api.server import cross_origin, forwarded
from http_api.server.client_address import sender
from http_api.server.errors import ApiError

logger = logging.getLogger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_SAFE: Final = ("GET", "HEAD", "OPTIONS")


class RequestId:
    """Gives each request an id (the client's own X-Request-Id, if it is a plain one) and returns it."""

    def __init__(self) -> None:
        # One draw per process and then counting: as unique as a draw per request, and quicker.
        self._process = secrets.token_hex(10)
        self._numbers = itertools.count()

    def process_request(self, req: Request, resp: Response) -> None:
        """Before anything else."""
        sent = req.get_header("X-Request-Id") or ""
        req.context.request_id = sent if _REQUEST_ID.fullmatch(sent) else f"{self._process}{next(self._numbers):012x}"
        resp.set_header("X-Request-Id", req.context.request_id)


class RequestLog:
    """One line per request: writes at level info, reads at debug, and what went wrong with its cause at error.

    So the log tells who changed what: the method, the address with its id, the client and the name of its key.
    """

    def process_request(self, req: Request, resp: Response) -> None:
        """Note the time."""
        req.context.began = time.monotonic()

    def process_response(self, req: Request, resp: Response, resource: Any, req_succeeded: bool) -> None:
        """Log what was answered; a stream's time is that of its beginning."""
        level = logging.DEBUG if req.method in _SAFE else logging.INFO
        level = logging.ERROR if req.context.get("cause") else level
        if logger.isEnabledFor(level):
            logger.log(level, "%s %s %s", req.method, req.path, resp.status, extra=_context(req))


def _context(req: Request) -> dict[str, Any]:
    context = {
        "request_id": req.context.get("request_id"),
        "client": sender(req).shown,
        "milliseconds": round(1000 * (time.monotonic() - req.context.began), 1),
    }
    known = {name: req.context.get(name) for name in ("key", "job_id", "cause")}
    return context | {name: value for name, value in known.items() if value}


class SafetyHeaders:
    """JSON is never cached, nothing is guessed to be another type than it says, and no other site may embed it."""

    def process_response(self, req: Request, resp: Response, resource: Any, req_succeeded: bool) -> None:
        """After the responder."""
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.set_header("Cross-Origin-Resource-Policy", "same-origin")
        if resp.get_header("Cache-Control") is None:
            resp.set_header("Cache-Control", "no-store")


class SameSiteOnly:
    """Refuses writes that another web site makes a visitor's browser send, unless it is one of `allowed_origins`.

    Programs send neither header and are not concerned; a browser always sends one of them.
    """

    def __init__(self, trusted_proxies: int = 0, allowed_origins: tuple[str, ...] = ()) -> None:
        self._trusted_proxies = trusted_proxies
        self._allowed_origins = frozenset(allowed_origins)

    def process_request(self, req: Request, resp: Response) -> None:
        """Raise 403 for a write from elsewhere."""
        if req.method not in _SAFE and self._is_foreign(req):
            raise ApiError(falcon.HTTP_403, "Writes from another web site are refused; use this site's own page.")

    def _is_foreign(self, req: Request) -> bool:
        if cross_origin.is_allowed(req, self._allowed_origins):
            return False
        site = req.get_header("Sec-Fetch-Site")
        if site is not None:
            return site not in ("same-origin", "none")
        origin = req.get_header("Origin")
        return origin is not None and not forwarded.is_own_site(req, origin, self._trusted_proxies)
