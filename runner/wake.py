"""A bell that any thread or signal handler may ring, and that a select call can wait for."""

from __future__ import annotations

import os
from contextlib import suppress


class WakePipe:
    """A pipe as a bell: ringing writes one byte, which says why; a full pipe rings already."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._reader

    @property
    def signal_descriptor(self) -> int:
        """For `signal.set_wakeup_fd`: a signal writes its number."""
        return self._writer

    def ring(self, reason: bytes) -> None:
        """Ring; never blocks."""
        with suppress(BlockingIOError):
            os.write(self._writer, reason)

    def heard(self) -> bytes:
        """What was rung since the last call, one byte each."""
        found = b""
        with suppress(BlockingIOError):
            while part := os.read(self._reader, 4096):
                found += part
        return found

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._reader)
        os.close(self._writer)
