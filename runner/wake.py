"""A pipe into which signals write, so that a select call that waits for other things notices them."""

from __future__ import annotations

import os
from contextlib import suppress


class WakePipe:
    """Readable when a signal came. Never blocks: a full pipe says as much as one more byte would."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._reader

    @property
    def signal_descriptor(self) -> int:
        """For `signal.set_wakeup_fd`: a signal writes its number."""
        return self._writer

    def drain(self) -> bytes:
        """The numbers of the signals since the last call."""
        found = b""
        with suppress(BlockingIOError):
            while part := os.read(self._reader, 4096):
                found += part
        return found

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._reader)
        os.close(self._writer)
