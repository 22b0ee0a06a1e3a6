"""Who is asking: the address that is logged, and the one that limits count by."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple, cast

from falcon import Request, Response

#: What proxies add to a request that they pass on.
_PROXY_HEADERS: Final = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "X-Forwarded-Proto", "Via")


class ClientAddress(NamedTuple):
    """Where a request comes from."""

    #: As the connection or a trusted proxy tells it.
    shown: str
    #: What limits count by: the address, or the /64 of an IPv6 client, since it may use any address of that.
    key: str
    #: Whether it comes from this machine, and not through a proxy.
    is_own_machine: bool


class ClientAddressFinder:
    """Notes for each request where it comes from: `req.context.client`."""

    def __init__(self, trusted_proxies: int) -> None:
        self._trusted_proxies = trusted_proxies

    def process_request(self, req: Request, resp: Response) -> None:
        """Set `req.context.client`."""
        req.context.client = client_address(req, self._trusted_proxies)


def sender(req: Request) -> ClientAddress:
    """What was noted for this request."""
    return cast(ClientAddress, req.context.client)


def client_address(req: Request, trusted_proxies: int) -> ClientAddress:
    """The peer of the connection, or with `trusted_proxies=n` the nth address from the right of X-Forwarded-For.

    What stands further left was written by the client and proves nothing.
    """
    peer = req.remote_addr or "unknown"
    forwarded = _forwarded(req, trusted_proxies)
    key, is_loopback = _known(forwarded or peer)
    is_own = is_loopback and not forwarded and not any(req.get_header(name) for name in _PROXY_HEADERS)
    return ClientAddress((forwarded or peer)[:100], key, is_own)


def _forwarded(req: Request, trusted_proxies: int) -> str | None:
    if not trusted_proxies:
        return None
    chain = [part.strip() for part in (req.get_header("X-Forwarded-For") or "").split(",") if part.strip()]
    return chain[-trusted_proxies] if len(chain) >= trusted_proxies else None


@lru_cache(maxsize=1024)
def _known(text: str) -> tuple[str, bool]:
    """What an address is counted by, and whether it is one of this machine."""
    address = _parsed(text)
    if address is None:
        return text[:100], False
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback and isinstance(address, IPv6Address):
        return "127.0.0.1", True  # `localhost` is either, as the resolver likes
    key = str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else str(address)
    return key, address.is_loopback


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    for candidate in (host, host.rpartition(":")[0]):
        try:
            return ip_address(candidate.partition("%")[0])
        except ValueError:
            continue
    return None
