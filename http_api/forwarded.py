"""What the operator's own proxies say of a request: the path at which they serve this server."""

from __future__ import annotations

import re
from typing import Final

from falcon import Request, Response

#: Like /ai or /ai/pictures. Never `//`, which would lead to another host.
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]{1,100}){1,8}", re.ASCII)


class ForwardedPrefix:
    """Notes the path prefix that a proxy takes away before it passes a request on (X-Forwarded-Prefix).

    Addresses in answers begin with it. Without a trusted proxy it is empty, whatever a client sends.
    """

    def __init__(self, trusted_proxies: int) -> None:
        self._is_trusted = trusted_proxies > 0

    def process_request(self, req: Request, resp: Response) -> None:
        """Set `req.context.prefix`."""
        sent = (req.get_header("X-Forwarded-Prefix") or "").rstrip("/") if self._is_trusted else ""
        req.context.prefix = sent if _PREFIX.fullmatch(sent) else ""


def below(prefix: str, status: bytes) -> bytes:
    """The JSON of a job's status with its `preview_url` below `prefix`.

    One encoded status is shared by all clients that watch a job, whichever way they come. Quotes within texts
    are escaped, so only the key itself can look like this.
    """
    return status.replace(b'"preview_url":"/', f'"preview_url":"{prefix}/'.encode(), 1) if prefix else status
