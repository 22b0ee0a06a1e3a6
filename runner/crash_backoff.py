"""How long to wait before a worker is started again after crashes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

#: Crashes in a row that cost no wait: one job may be at fault, and the next ones must not wait for it.
FREE_CRASHES: Final = 3
LONGEST_SECONDS: Final = 60.0


class CrashBackoff:
    """Counts crashes in a row; from the fourth on each doubles the wait, up to a minute."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._crashes = 0
        self._until = 0.0

    def crashed(self, *, in_job: bool) -> None:
        """A worker crashed; one that had no job yet has no job to blame, so it always costs a wait."""
        self._crashes += 1
        paid = self._crashes - (FREE_CRASHES if in_job else 0)
        wait = min(LONGEST_SECONDS, 2.0 ** (paid - 1)) if paid > 0 else 0.0
        self._until = self._monotonic() + wait

    def worked(self) -> None:
        """A job came to an end of its own: the worker is sound."""
        self._crashes = 0
        self._until = 0.0

    def remaining(self) -> float:
        """Seconds until a worker may be started."""
        return max(0.0, self._until - self._monotonic())
