"""Who is asking: the address that the rate limit counts by."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from falcon import Request


def client_key(req: Request, trusted_proxies: int) -> str:
    """The client's address; an IPv6 client is its /64, since it may use any address of it.

    The peer of the connection, or with `trusted_proxies=n` the nth address from the right of
    X-Forwarded-For: what stands further left was written by the client and proves nothing.
    """
    peer = req.remote_addr or "unknown"
    return _key(_forwarded(req, trusted_proxies) or peer)


def _forwarded(req: Request, trusted_proxies: int) -> str | None:
    if not trusted_proxies:
        return None
    chain = [part.strip() for part in (req.get_header("X-Forwarded-For") or "").split(",") if part.strip()]
    return chain[-trusted_proxies] if len(chain) >= trusted_proxies else None


def _key(text: str) -> str:
    address = _parsed(text)
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ip_network((address, 64), strict=False))
    return str(address) if address else text[:100]


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    for candidate in (host, host.rpartition(":")[0]):
        try:
            return ip_address(candidate.partition("%")[0])
        except ValueError:
            continue
    return None
