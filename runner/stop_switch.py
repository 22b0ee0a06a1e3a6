"""The wish that the worker ends, and who may act on it at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StopSwitch:
    """Set by a signal handler or by the thread that reads commands; looked at between steps.

    Loading a model has no steps to look at. During `exit_via(leave)` a request calls `leave`, which must
    end the process, in the thread that made the request.
    """

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._lock = threading.RLock()  # the signal handler may interrupt the thread that holds it
        self._leave: Callable[[], None] | None = None

    @property
    def is_requested(self) -> bool:
        """Whether the worker must end."""
        return self._requested.is_set()

    def request(self) -> None:
        """Ask for the end."""
        self._requested.set()
        with self._lock:
            if self._leave is not None:
                self._leave()

    @contextmanager
    def exit_via(self, leave: Callable[[], None]) -> Iterator[None]:
        """While inside, a request (also one made before) ends the process through `leave`."""
        with self._lock:
            self._leave = leave
            if self.is_requested:
                leave()
        try:
            yield
        finally:
            with self._lock:
                self._leave = None
