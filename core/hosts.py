"""Host names as people and browsers write them: with or without a port, IPv6 with or without brackets."""

from __future__ import annotations

from ipaddress import ip_address


def split(host: str) -> tuple[str, str]:
    """Name and port of a `Host` or of a setting; the port is empty where there is none.

    Names come in lower case, IPv6 addresses in their short form and without brackets.
    """
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":")
    elif host.count(":") == 1:
        name, _, port = host.partition(":")
    else:  # a plain name, or an IPv6 address without brackets
        name, port = host, ""
    return _canonical(name), port


def is_loopback(name: str) -> bool:
    """Whether only this machine can mean itself by this name."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _canonical(name: str) -> str:
    try:
        return str(ip_address(name))
    except ValueError:
        return name.lower().removesuffix(".")
