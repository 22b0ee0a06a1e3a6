"""A typed Python client of the CyberImage API, and the `cyberimage` command line. Needs no other package of ours."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client.api_client import CyberImageClient
    from client.errors import (
        ClientError,
        InvalidAddress,
        InvalidSetup,
        JobFailed,
        NotFound,
        RateLimited,
        RejectedInput,
        ServerError,
        ServerUnavailable,
        ServerUnreachable,
        UnexpectedAnswer,
        WaitTimedOut,
    )

__all__ = [
    "ClientError",
    "CyberImageClient",
    "InvalidAddress",
    "InvalidSetup",
    "JobFailed",
    "NotFound",
    "RateLimited",
    "RejectedInput",
    "ServerError",
    "ServerUnavailable",
    "ServerUnreachable",
    "UnexpectedAnswer",
    "WaitTimedOut",
]


def __getattr__(name: str) -> Any:
    """Import on first use: `cyberimage --help` need not wait for httpx."""
    if name not in __all__:
        raise AttributeError(f"module 'client' has no attribute {name!r}")
    home = "client.api_client" if name == "CyberImageClient" else "client.errors"
    return getattr(import_module(home), name)
