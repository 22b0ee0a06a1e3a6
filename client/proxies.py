"""Whether a server is asked through a proxy, as the environment says it (http_proxy, https_proxy, all_proxy, no_proxy).

httpx has rules of its own, but stumbles over networks in no_proxy and over schemes that it does not know, and asks even
this very machine through a proxy.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

from client.errors import InvalidSetup

#: An IPv6 address in brackets, perhaps with the length of its network.
_BRACKETS: Final = re.compile(r"^\[(.*)\](/\d+)?$")
_SCHEMES: Final = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True)
class Proxy:
    """A proxy: its address, which may hold a password, and the variable that names it."""

    url: str = field(repr=False)
    variable: str

    @property
    def shown(self) -> str:
        """For people: without name and password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} ({self.variable})"


def proxy_for(url: str, environment: Mapping[str, str] = os.environ) -> Proxy | None:
    """The proxy for this server; None if it is asked directly, as this machine itself always is.

    Raises InvalidSetup for a proxy that cannot be used.
    """
    server = urlsplit(url)
    if _is_this_machine(server.hostname or "") or _is_excepted(server, _value(environment, "no_proxy")[0]):
        return None
    for name in (f"{server.scheme}_proxy", "all_proxy"):
        value, variable = _value(environment, name)
        if value:
            return _usable(value if "://" in value else f"http://{value}", variable)
    return None


def _value(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """The value of a variable in small or, else, capital letters, and its name."""
    variable = name if environment.get(name) else name.upper()
    return environment.get(variable, "").strip(), variable


def _usable(url: str, variable: str) -> Proxy:
    proxy = Proxy(url, variable)
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or half an IPv6 address
        raise InvalidSetup(
            f"{variable} is not the address of a proxy; write it as http://proxy.example:3128."
        ) from None
    if not is_whole or parts.scheme not in _SCHEMES:
        what = f"begins with {parts.scheme}://" if is_whole else "names no host"
        raise InvalidSetup(f"{variable} {what}; a proxy is one of {', '.join(_SCHEMES)}, as http://proxy.example:3128.")
    if parts.scheme.startswith("socks") and not _knows_socks():
        raise InvalidSetup(
            f"{proxy.shown} is a SOCKS proxy, for which the Python package socksio is needed: pip install socksio. "
            "Or leave the proxy out for this server: name its host in no_proxy."
        )
    return proxy


def _knows_socks() -> bool:
    from importlib.util import find_spec

    return find_spec("socksio") is not None


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _is_excepted(server: SplitResult, no_proxy: str) -> bool:
    return any(_matches(server, entry.strip().lower()) for entry in no_proxy.split(",") if entry.strip())


def _matches(server: SplitResult, entry: str) -> bool:
    """Whether an entry of no_proxy means this server: `*`, a network, an address or a domain, perhaps with a port."""
    host = (server.hostname or "").lower()
    if entry == "*":
        return True
    address, network = _address(host), _network(entry)
    if network is not None:
        return address is not None and address in network
    name, port = _split_port(entry)
    if port is not None and port != (server.port or (443 if server.scheme == "https" else 80)):
        return False
    if (network := _network(name)) is not None:
        return address is not None and address in network
    domain = name.removeprefix("*").removeprefix(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    name, colon, port = entry.rpartition(":")
    return (name, int(port)) if colon and port.isascii() and port.isdigit() else (entry, None)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A network, or one address as a network of its own; brackets around IPv6 are allowed."""
    try:
        return ipaddress.ip_network(_BRACKETS.sub(r"\1\2", text), strict=False)
    except ValueError:
        return None
