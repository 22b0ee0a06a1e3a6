"""How long a denoising step takes, by model: for the supervisor's patience and for the status file."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Final

_KEPT: Final = 50
#: A worker may be silent for this many times its median step.
SILENT_STEPS: Final = 20
#: What a step may take that has never been measured; also covers decoding, which is no step, in seconds.
_UNKNOWN_STEP: Final = 10.0


class StepTimes:
    """The last step times that the worker has reported."""

    def __init__(self) -> None:
        self._by_model: dict[str, deque[float]] = {}

    def add(self, model: str, seconds: float) -> None:
        """Take one in."""
        self._by_model.setdefault(model, deque(maxlen=_KEPT)).append(seconds)

    def medians(self) -> dict[str, float]:
        """The median by model, in seconds."""
        return {model: round(median(times), 4) for model, times in self._by_model.items()}

    def silence_timeout(self, model: str | None, at_least: float) -> float:
        """How long a worker that draws with `model` may be silent, in seconds."""
        times = self._by_model.get(model or "")
        return max(at_least, SILENT_STEPS * median(times)) if times else at_least

    def longest_step(self, model: str | None) -> float:
        """A generous guess of one step and the decoding after it, in seconds."""
        times = self._by_model.get(model or "")
        return max(_UNKNOWN_STEP, 3 * median(times)) if times else _UNKNOWN_STEP
