"""The REST API for coroutines: each question is asked in a thread, by a client of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from client.api_client import CyberImageClient
from client.mcp.schemas import Description

Answer = TypeVar("Answer")

#: How many jobs are waited for at once; more wait for a place. Other questions have threads of their own.
WAITS_AT_ONCE: Final = 100


class Api:
    """Asks one server. `connect` makes a client of it."""

    def __init__(self, connect: Callable[[], CyberImageClient]) -> None:
        self._connect = connect
        self._waits: anyio.CapacityLimiter | None = None
        self._description: Description | None = None

    async def ask(self, question: Callable[[CyberImageClient], Answer]) -> Answer:
        """The answer to a short question; raises ClientError. One that was begun is not interrupted."""
        return await anyio.to_thread.run_sync(self._asked, question)

    async def wait(self, question: Callable[[CyberImageClient], Answer]) -> Answer:
        """The answer to one that may take minutes. If nobody wants it any more, its thread is left to itself."""
        if self._waits is None:
            self._waits = anyio.CapacityLimiter(WAITS_AT_ONCE)
        return await anyio.to_thread.run_sync(self._asked, question, abandon_on_cancel=True, limiter=self._waits)

    async def description(self, *, again: bool = False) -> Description:
        """What the server says of itself (OpenAPI); `again` asks it anew, since it may have been replaced."""
        if self._description is None or again:
            self._description = Description(await self.ask(lambda client: client.description()))
        return self._description

    def _asked(self, question: Callable[[CyberImageClient], Answer]) -> Answer:
        with self._connect() as client:
            return question(client)
