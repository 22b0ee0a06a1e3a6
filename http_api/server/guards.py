"""Who is let in: the keys that a request must carry, and the host names that it may be meant for."""

from __future__ import annotations

import base64
from collections.abc import Collection
from typing import Any

import falcon
from falcon import Request, Response

from core import hosts
from core.errors import InvalidRequest
from http_api.access import SCOPES, KeyFile, Scope
from http_api.door import door_of
from http_api.route import Operations
from http_api.server.errors import ApiError


class KeyGuard:
    """Lets a request pass only with a key for the scope that its row names.

    Falcon calls it for what a row is served at. The rest leads nowhere: unknown addresses, and methods that are not
    served.
    """

    def __init__(self, keys: KeyFile, operations: Operations) -> None:
        self._keys = keys
        self._operations = operations

    def process_resource(self, req: Request, resp: Response, resource: Any, params: dict[str, Any]) -> None:
        """Raise 401 without a valid key, 403 with one for other things."""
        operation = self._operations.of(req)
        if operation is None or operation.scope is Scope.OPEN:
            return
        key = self._keys.find(_presented(req))
        if key is None:
            resp.set_header("WWW-Authenticate", door_of(req).challenge)
            raise ApiError(
                falcon.HTTP_401, "This needs a valid API key: send `Authorization: Bearer KEY` or `X-Api-Key: KEY`."
            )
        if not key.may(operation.scope):
            raise ApiError(
                falcon.HTTP_403, f"The key {key.name!r} lacks the scope '{operation.scope.value}' that this needs."
            )
        req.context.key = key.name
        req.context.scopes = [scope for scope in SCOPES if key.may(scope)]


def _presented(req: Request) -> str:
    """The key of a request: a bearer token, the password of Basic authentication, or X-Api-Key; empty if none is."""
    scheme, _, token = (req.get_header("Authorization") or "").partition(" ")
    match scheme.lower():
        case "bearer":
            return token.strip()
        case "basic":
            return _password(token.strip())
        case _:
            return req.get_header("X-Api-Key") or ""


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:  # neither base64 nor UTF-8: no key of ours
        return ""


class HostGuard:
    """Answers only for known host names, so that no foreign name can be pointed at this server (DNS rebinding).

    Known are `names`, or where there are none the names that this machine has for itself (localhost, 127.0.0.1,
    ::1). What monitors ask for (`monitored`: paths) is answered for those as well, whatever `names` are.
    """

    def __init__(self, names: tuple[str, ...], monitored: Collection[str]) -> None:
        self._hosts = {hosts.split(name) for name in names}
        self._monitored = frozenset(monitored)

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
        return not self._hosts or path in self._monitored
