"""Publishes how far a job is: to the progress file, and to the supervisor as a sign of life."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from jobs.claims import Claim
from jobs.ids import timestamp
from jobs.schema import Phase, Progress
from runner.messages import Event, Stepped

logger = logging.getLogger(__name__)

#: The shortest time between two reports of steps, in seconds; a file per step would cost up to a tenth.
INTERVAL: Final = 0.25


class ProgressReporter:
    """Reports of one attempt. Progress is disposable: a write that fails is logged once and costs nothing else."""

    def __init__(self, claim: Claim, send: Callable[[Event], None], callback_steps: int | None) -> None:
        self._claim = claim
        self._send = send
        self._callback_steps = callback_steps
        self._total = claim.job.effective_settings.drawn_steps
        self._image_number = 1
        self._written_at = self._sent_at = float("-inf")
        self._last_step: tuple[int, float] | None = None
        self._steps_timed = 0
        self._seconds_timed = 0.0
        self._has_warned = False

    @property
    def total_steps(self) -> int:
        """The steps of one image, as far as is known."""
        return self._total

    def phase(self, phase: Phase, image_number: int = 1, step: int = 0) -> None:
        """Enter a phase."""
        self._image_number = image_number
        self._last_step = None
        self._write(phase, step)

    def step(self, image_number: int, step: int, steps: int) -> None:
        """A step of so many is done; reported every quarter of a second or `callback_steps` steps, and at the last."""
        now = time.monotonic()
        self._time(image_number, step, now)
        self._image_number, self._total = image_number, steps
        is_last = step >= self._total
        if is_last or self._is_due(step, now):
            self._written_at = now
            self._write(Phase.GENERATING, step)
        if is_last or now - self._sent_at >= INTERVAL:
            self._sent_at = now
            self._send(
                Stepped(
                    job_id=self._claim.job.id,
                    model=self._claim.job.model_id,
                    image_number=image_number,
                    step=step,
                    step_seconds=self.step_seconds,
                )
            )

    @property
    def step_seconds(self) -> float | None:
        """Mean time of a step in this attempt, once two have passed."""
        return self._seconds_timed / self._steps_timed if self._steps_timed else None

    def _is_due(self, step: int, now: float) -> bool:
        if self._callback_steps is not None:
            return step % self._callback_steps == 0
        return now - self._written_at >= INTERVAL

    def _time(self, image_number: int, step: int, now: float) -> None:
        """Count the time between two steps of one image; what lies between two images is no step."""
        if self._last_step is not None and self._last_step[0] == image_number:
            self._steps_timed += 1
            self._seconds_timed += now - self._last_step[1]
        self._last_step = (image_number, now)

    def _write(self, phase: Phase, step: int) -> None:
        seconds = self.step_seconds
        progress = Progress(
            phase=phase,
            attempt=self._claim.job.attempts,
            image_number=self._image_number,
            step=step,
            total_steps=self._total,
            step_seconds=None if seconds is None else round(seconds, 4),
            updated_at=timestamp(),
        )
        try:
            self._claim.report(progress)
        except OSError as error:
            if not self._has_warned:
                logger.warning("Progress could not be written: %s", error)
                self._has_warned = True
