"""The two transports: standard input and output for a client that starts us, HTTP on this machine for others."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Final

from client.api_client import CyberImageClient
from client.errors import InvalidSetup

#: Only this machine: the tools act with the key of whoever started this.
_HOST: Final = "127.0.0.1"
#: Seconds that open streams get at the end.
_GRACE: Final = 3


def serve(connect: Callable[[], CyberImageClient], port: int | None) -> None:
    """Serve until the client leaves (stdio) or a signal comes (HTTP at a port); raises InvalidSetup.

    `connect` makes a client of the CyberImage server that is to be used.
    """
    if find_spec("mcp") is None:
        raise InvalidSetup(
            "`cyberimage mcp` needs the package mcp, which is not installed: "
            "in a clone, .venv/bin/python -m pip install -c constraints.txt -e '.[mcp]'."
        )
    from client.mcp import server
    from client.mcp.api import Api

    built = server.build(Api(connect))
    if port is None:
        import anyio
        from mcp.server.stdio import stdio_server

        async def over_stdio() -> None:
            async with stdio_server() as (reading, writing):
                await built.run(reading, writing, built.create_initialization_options())

        anyio.run(over_stdio)
        return
    import uvicorn

    listening = _listen(port)
    sys.stderr.write(f"MCP at http://{_HOST}:{listening.getsockname()[1]}/mcp (Ctrl-C ends it)\n")
    sys.stderr.flush()
    # For a loopback host the SDK compares Host and Origin, so that no page that a name was rebound for gets in.
    app = built.streamable_http_app(host=_HOST)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_GRACE)
    uvicorn.Server(config).run(sockets=[listening])


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InvalidSetup(
                f"Port {port} is already in use by another program; choose another for --http."
            ) from error
        raise InvalidSetup(f"Port {port} cannot be used: {error.strerror}; choose another for --http.") from error
