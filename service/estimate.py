"""How long a job will still take, from what the runner measured; None rather than a guess from nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from core.errors import IndexUnavailable
from jobs import runner_status
from jobs.pause import is_paused
from jobs.runner_status import RunnerStatus
from jobs.schema import Job, Phase, State
from service.services import Services
from service.snapshot import JobSnapshot

#: The runner's status and the mean durations are read at most so often, in seconds.
_FRESH: Final = 1.0


class Estimator:
    """Estimates of one worker process; `now` is in seconds and only tells how old a reading is."""

    def __init__(self, services: Services, now: Callable[[], float] = time.time) -> None:
        self._services = services
        self._now = now
        self._runners: tuple[float, list[RunnerStatus]] = (float("-inf"), [])
        self._somebody_lives = False
        self._means: dict[str, tuple[float, float | None]] = {}

    def seconds_to_empty(self, running: int) -> float | None:
        """Seconds until all that waits now is drawn, and half of each of the jobs that run; None where unknown."""
        try:
            waiting = self._services.jobs.waiting_by_model()
        except IndexUnavailable:
            return None
        if not waiting and not running:
            return 0.0
        runners = self._runner_statuses()
        times = [(self._mean(model), amount) for model, amount in waiting.items()]
        if not self._somebody_lives or is_paused(self._services.layout) or any(mean is None for mean, _ in times):
            return None
        busy = [self._mean(status.loaded_models[-1]) for status in runners if status.job_id and status.loaded_models]
        seconds = sum((mean or 0.0) * amount for mean, amount in times) + sum(mean or 0.0 for mean in busy) / 2
        return seconds / max(1, len(runners))

    def seconds_left(self, snapshot: JobSnapshot) -> float | None:
        """Seconds to the end of a job that waits or runs."""
        if snapshot.state is State.PROCESSING:
            return self._of_running(snapshot)
        if snapshot.state is State.PENDING and snapshot.position is not None:
            return self._of_waiting(snapshot.job, snapshot.position)
        return None

    def _of_running(self, snapshot: JobSnapshot) -> float | None:
        settings = snapshot.job.effective_settings
        seen = snapshot.progress
        step = (seen.step_seconds if seen else None) or self._step_seconds(snapshot.job)
        if step is None:
            return self._whole(snapshot.job)
        number, done = (seen.image_number, seen.step) if seen else (1, 0)
        if seen is not None and seen.phase is Phase.SAVING:
            done = settings.drawn_steps
        images_after = settings.num_images - number
        return step * (images_after * settings.drawn_steps + max(0, settings.drawn_steps - done))

    def _of_waiting(self, job: Job, position: int) -> float | None:
        """Its own time, and that of the jobs before it (taken to be like the latest ones), over all living runners."""
        runners = self._runner_statuses()
        if not self._somebody_lives:
            return None
        own = self._whole(job)
        others = self._mean(job.model_id) or own
        if own is None or others is None:
            return None
        ahead = position + (0.5 if runners and all(status.job_id for status in runners) else 0.0)
        return own + ahead * others / max(1, len(runners))

    def _whole(self, job: Job) -> float | None:
        step = self._step_seconds(job)
        if step is None:
            return self._mean(job.model_id)
        return step * job.effective_settings.num_images * job.effective_settings.drawn_steps

    def _step_seconds(self, job: Job) -> float | None:
        """The step time of the runner that has the job; of the slowest one, while none has it."""
        runners = self._runner_statuses()
        mine = [status for status in runners if status.job_id == job.id]
        found = [status.step_seconds.get(job.model_id) for status in mine or runners]
        return max((seconds for seconds in found if seconds is not None), default=None)

    def _runner_statuses(self) -> list[RunnerStatus]:
        """What the living runners say; the last words of the others, while none lives."""
        moment, statuses = self._runners
        if abs(self._now() - moment) > _FRESH:
            runners = runner_status.read_all(self._services.layout)
            living = [runner for runner in runners if runner.is_alive]
            self._somebody_lives = bool(living)
            statuses = [runner.status for runner in living or runners if runner.status is not None]
            self._runners = (self._now(), statuses)
        return statuses

    def _mean(self, model: str) -> float | None:
        moment, mean = self._means.get(model, (float("-inf"), None))
        if abs(self._now() - moment) > _FRESH:
            try:
                mean = self._services.jobs.mean_duration(model)
            except IndexUnavailable:
                mean = None
            self._means[model] = (self._now(), mean)
        return mean
