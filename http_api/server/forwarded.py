"""What the operator's own proxies say of a request: the path and the name at which they serve this server."""

from __future__ import annotations

import re
from typing import Final

from falcon import Request, Response

from core import hosts

#: Like /ai or /ai/pictures. Never `//`, which would lead to another host.
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]{1,100}){1,8}", re.ASCII)
_USUAL_PORTS: Final = {"http": "80", "https": "443"}


class ForwardedPrefix:
    """Notes the path prefix that a proxy takes away before it passes a request on (X-Forwarded-Prefix).

    Addresses in answers begin with it; those that must be whole begin with scheme and host as the client used them.
    Without a trusted proxy the prefix is empty, and the rest that of the connection, whatever a client sends.
    """

    def __init__(self, trusted_proxies: int) -> None:
        self._trusted_proxies = trusted_proxies

    def process_request(self, req: Request, resp: Response) -> None:
        """Set `req.context.prefix`, and for `whole_address` the rest."""
        sent = (req.get_header("X-Forwarded-Prefix") or "").rstrip("/") if self._trusted_proxies else ""
        req.context.prefix = sent if _PREFIX.fullmatch(sent) else ""
        req.context.trusted_proxies = self._trusted_proxies


def whole_address(req: Request, path: str) -> str:
    """The address of `path` here as the client of `req` can use it: with scheme, host, and prefix."""
    trusted = req.context.trusted_proxies
    scheme = _from_right(req.get_header("X-Forwarded-Proto") or "", trusted).lower() if trusted else ""
    host = next(filter(None, reversed(_own_hosts(req, trusted))), req.netloc)
    return f"{scheme if scheme in _USUAL_PORTS else req.scheme}://{host}{req.context.prefix}{path}"


def is_own_site(req: Request, origin: str, trusted_proxies: int) -> bool:
    """Whether a page of `origin` (scheme, host and port) is one of ours.

    Its host and port must be those of Host or, with trusted proxies, of X-Forwarded-Host. Many proxies drop the
    port there, so with them a name without a port is enough.
    """
    scheme, _, host = origin.lower().partition("://")
    name, port = hosts.split(host)
    usual = _USUAL_PORTS.get(scheme, "")
    for own_name, own_port in map(hosts.split, _own_hosts(req, trusted_proxies)):
        is_port_dropped = trusted_proxies > 0 and not own_port
        if name and name == own_name and (is_port_dropped or (port or usual) == (own_port or usual)):
            return True
    return False


def _own_hosts(req: Request, trusted_proxies: int) -> list[str]:
    """What this server is called, by the request itself and by the outermost trusted proxy."""
    own = [req.get_header("Host") or ""]
    if trusted_proxies:
        own.append(_from_right(req.get_header("X-Forwarded-Host") or "", trusted_proxies))
    return own


def _from_right(chain: str, number: int) -> str:
    """What the outermost of so many trusted proxies wrote into a list to which each adds at its end."""
    return [part.strip() for part in chain.split(",")][-number:][0]


def below(prefix: str, status: bytes) -> bytes:
    """The JSON of a job's status with its `preview_url` below `prefix`.

    One encoded status is shared by all clients that watch a job, whichever way they come. Quotes within texts
    are escaped, so only the key itself can look like this.
    """
    return status.replace(b'"preview_url":"/', f'"preview_url":"{prefix}/'.encode(), 1) if prefix else status
