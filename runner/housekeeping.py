"""The maintenance of the data directory beside the supervisor's loop, so that a runner without an API keeps it, too."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

from service.data import Data
from service.maintenance import INTERVAL, Maintenance

logger = logging.getLogger(__name__)


class Housekeeping:
    """Within its context a thread ticks the maintenance. Leaving it ends the thread, and a repair in a child process.

    A tick takes milliseconds, and large repairs have a process of their own, so the loop is not held up.
    """

    def __init__(self, data: Data) -> None:
        self._maintenance = Maintenance(data)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._maintenance.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._maintenance.tick()
            except Exception:
                logger.exception("The maintenance failed; it is tried again in %g s.", INTERVAL)
            self._ended.wait(INTERVAL)
