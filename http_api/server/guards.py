"""Who is let in: the keys that a request must carry, and the host names that it may be meant for."""

from __future__ import annotations

from typing import Final

import falcon
from falcon import Request, Response

from core import hosts
from core.errors import InvalidRequest
from http_api.access import KeyFile
from http_api.server.errors import ApiError

#: What a person or a monitor sees without a key: the page itself, the description, and whether we live.
_OPEN: Final = ("/", "/docs", "/api/openapi.json", "/health/live", "/health/ready")
#: What monitors on this machine ask for, by its address rather than by its public name.
_MONITORED: Final = ("/health/live", "/health/ready", "/metrics")
_SAFE: Final = ("GET", "HEAD", "OPTIONS")


class KeyGuard:
    """Lets a request pass only with a key for its scope: reading, submitting, or everything else (admin)."""

    def __init__(self, keys: KeyFile) -> None:
        self._keys = keys

    def process_request(self, req: Request, resp: Response) -> None:
        """Raise 401 without a valid key, 403 with one for other things."""
        if req.method in _SAFE and (req.path in _OPEN or req.path.startswith("/static/")):
            return
        key = self._keys.find(_presented(req))
        if key is None:
            resp.set_header("WWW-Authenticate", "Bearer")
            raise ApiError(
                falcon.HTTP_401, "This needs a valid API key: send `Authorization: Bearer KEY` or `X-Api-Key: KEY`."
            )
        scope = scope_of(req.method, req.path)
        if not key.may(scope):
            raise ApiError(falcon.HTTP_403, f"The key {key.name!r} has not the scope {scope!r} that this needs.")
        req.context.key = key.name


def scope_of(method: str, path: str) -> str:
    """The scope that a request needs."""
    if method in _SAFE:
        return "read"
    is_submitting = path in ("/api/generate", "/api/enrich") or path.endswith(("/cancel", "/retry"))
    return "submit" if method == "POST" and is_submitting else "admin"


def _presented(req: Request) -> str:
    scheme, _, token = (req.get_header("Authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else req.get_header("X-Api-Key") or ""


class HostGuard:
    """Answers only for known host names, so that no foreign name can be pointed at this server (DNS rebinding).

    Known are `names`, or where there are none the names that this machine has for itself (localhost, 127.0.0.1,
    ::1). Health and metrics are answered for those as well, whatever `names` are.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._hosts = {hosts.split(name) for name in names}

    def process_request(self, req: Request, resp: Response) -> None:
        """Raise 400 for another name."""
        host = req.get_header("Host") or ""
        name, port = hosts.split(host)
        is_known = (name, "") in self._hosts or (name, port) in self._hosts
        is_local = not host or hosts.is_loopback(name)  # none at all is HTTP/1.0, which no browser speaks
        if not is_known and not (is_local and self._answers_loopback(req.path)):
            raise InvalidRequest(
                f"Host is {host[:100]!r}, which this server is not called; "
                "the operator can name it in CYBERIMAGE_ALLOWED_HOSTS.",
                "Host",
            )

    def _answers_loopback(self, path: str) -> bool:
        return not self._hosts or path in _MONITORED
