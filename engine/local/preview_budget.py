"""What previews may cost: a share of the time in which steps are done, averaged over a job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: The share of the steps' time on a GPU. A small decode takes it some milliseconds.
GPU_SHARE: Final = 0.02
#: The same on a CPU, where a decode takes as long as a step or two and people wait longest.
CPU_SHARE: Final = 0.10
#: The first time is slower than those to come: kernels are chosen, code and weights come into the caches.
_FIRST: Final = 0.5
#: What was too dear is taken to cost so much of it at the next picture: perhaps the machine was only busy.
_FADING: Final = 0.95


class Budget:
    """An account: steps pay in, previews draw from it, ahead of what the current picture will still pay in.

    So a picture's first preview need not wait until half of its steps are done. What was spent too much must be earned
    before the next preview, also by later jobs; what a job has left over is not handed on. Finding out what a kind
    costs, by using it once, is part of starting a worker and makes no debt: the pictures after it have previews, too.
    """

    def __init__(self, share: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self.monotonic = monotonic
        self._balance = 0.0
        self._costs: dict[str, float] = {}
        #: Seconds in all of steps, and of previews.
        self.worked = 0.0
        self.spent = 0.0

    def begin_job(self) -> None:
        """Keep the debts, not the savings."""
        self._balance = min(0.0, self._balance)

    def earn(self, seconds: float) -> None:
        """Steps took so long."""
        self.worked += seconds
        self._balance += self._share * seconds

    def times(self, kind: str, ahead: float = 0.0, *, beside: str | None = None) -> int:
        """How many previews of this kind there is time for, if the picture's steps take `ahead` seconds more.

        One of a kind that was never tried, unless there is a debt: what it costs must be found out. Time for one
        preview of the kind `beside` is left alone.
        """
        left = self._balance + self._share * ahead - (self._costs.get(beside, 0.0) if beside else 0.0)
        if kind not in self._costs:
            return int(left >= 0)
        return max(0, int(left // max(self._costs[kind], 1e-6)))

    def pass_over(self, kind: str) -> None:
        """A whole picture had no time for this kind; see `_FADING`."""
        if kind in self._costs:
            self._costs[kind] *= _FADING

    @contextmanager
    def spending(self, kind: str) -> Iterator[None]:
        """Count what is done inside."""
        started = self.monotonic()
        try:
            yield
        finally:
            seconds = self.monotonic() - started
            self.spent += seconds
            if kind in self._costs:
                self._costs[kind] = seconds
                self._balance -= seconds
            else:
                self._costs[kind] = seconds * _FIRST
                self._balance -= min(seconds, max(0.0, self._balance))
