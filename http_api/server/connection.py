"""Whether a client that waits for its answer is still there."""

from __future__ import annotations

import socket
from typing import Final

from falcon import Request

#: The first byte of struct tcp_info (linux/tcp.h): the state, of which 1 is TCP_ESTABLISHED.
_STATE_LENGTH: Final = 1
_ESTABLISHED: Final = 1


def is_gone(req: Request) -> bool:
    """Whether the peer has closed the connection; False where the server shows no TCP connection.

    The kernel is asked for the state rather than for bytes: whatever the peer has sent meanwhile stays unread. One
    that has only ended what it sends (half-closed) counts as gone, as it does for the usual proxies.
    """
    connection = req.env.get("gunicorn.socket")
    if connection is None:
        return False
    try:
        state: bytes = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _STATE_LENGTH)
    except OSError:  # closed on our side, as after a failed write
        return True
    return state[0] != _ESTABLISHED
