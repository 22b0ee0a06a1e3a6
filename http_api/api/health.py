"""Health: whether this process answers, and whether jobs can be taken and will be drawn."""

from __future__ import annotations

from typing import Any

import falcon
from falcon import Request, Response

from core.errors import IndexUnavailable
from http_api.api.answers import LiveAnswer, ReadyAnswer
from http_api.server import blocking
from jobs import runner_status
from jobs.pause import is_paused
from jobs.runner_status import Runner, RunnerState
from service import scrub
from service.readiness import SilenceWatch, StorageCheck, missing_data
from service.services import Services


class LiveResource:
    """`GET /health/live`: the process answers; restart it if not."""

    def on_get(self, req: Request, resp: Response) -> None:
        """Answer."""
        resp.media = LiveAnswer(status="ok")

    on_head = on_get


class ReadyResource:
    """`GET /health/ready`: 200 if a job sent now would be taken and drawn, else 503 with what is in the way."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._storage_check = StorageCheck(services.spool)
        self._silence = SilenceWatch()

    def on_get(self, req: Request, resp: Response) -> None:
        """Look at the storage, the queue, the index, the runner and the images."""
        missing = missing_data(self._services.layout)
        checks = self._checks() if missing is None else self._without_data(str(missing))
        is_ready = all(check["ok"] for check in checks.values())
        troubles = [check["message"] for check in checks.values() if not check["ok"] and check["message"]]
        resp.status = falcon.HTTP_200 if is_ready else falcon.HTTP_503
        resp.media = ReadyAnswer(
            status="ok" if is_ready else "error", message=" ".join(troubles) or "Ready.", checks=checks
        )

    on_head = on_get

    def _checks(self) -> dict[str, dict[str, Any]]:
        return {
            "storage": self._storage(),
            "queue": self._queue(),
            "index": self._index(),
            "runner": self._runner(),
            "images": self._images(),
        }

    def _without_data(self, message: str) -> dict[str, dict[str, Any]]:
        """All that can be said while there is no data directory."""
        limit = self._services.settings.max_pending
        return {
            "storage": {"ok": False, "message": message, "free_bytes": 0},
            "queue": {"ok": False, "message": "", "pending": 0, "limit": limit, "paused": False},
            "index": {"ok": False, "message": ""},
            "runner": {"ok": False, "message": "", "state": RunnerState.STOPPED.value, "runners": []},
            "images": {"ok": True, "message": "", "damaged": 0},
        }

    def _storage(self) -> dict[str, Any]:
        try:
            message = blocking.run(self._storage_check.trouble, blocking.CHECKS)
        except blocking.TooBusy:
            message = "The disk does not answer."
        return {"ok": not message, "message": message, "free_bytes": self._services.spool.capacity.free_bytes()}

    def _queue(self) -> dict[str, Any]:
        pending, limit = self._services.spool.pending_count(), self._services.settings.max_pending
        paused = is_paused(self._services.layout)
        message = "The queue is paused: no job is begun until somebody resumes it." if paused else ""
        if pending >= limit:
            message = f"The queue is full: {pending} jobs are pending."
        return {"ok": not message, "message": message, "pending": pending, "limit": limit, "paused": paused}

    def _index(self) -> dict[str, Any]:
        try:
            self._services.jobs.counts()
        except IndexUnavailable as error:
            return {"ok": False, "message": str(error)}
        return {"ok": True, "message": ""}

    def _images(self) -> dict[str, Any]:
        """Damaged images hinder no job, so they are told of and change nothing."""
        damaged = scrub.figures(self._services.layout).damaged
        return {"ok": True, "message": f"{damaged} images are damaged." if damaged else "", "damaged": damaged}

    def _runner(self) -> dict[str, Any]:
        """The runner that is most able to draw (the busy one, if there is one), and all that live."""
        runners = [
            _look(runner, self._silence.trouble(runner)) for runner in runner_status.read_living(self._services.layout)
        ]
        if not runners:
            reason = runner_status.why_stopped(self._services.layout) or ""
            message = f"No runner is running; jobs wait until one is started. {reason}".strip()
            return {"ok": False, "message": message, "state": RunnerState.STOPPED.value, "runners": []}
        best = max(runners, key=lambda runner: (runner["ok"], runner.get("job_id") is not None))
        return {key: value for key, value in best.items() if key != "runner"} | {"runners": runners}


def _look(runner: Runner, silence: str) -> dict[str, Any]:
    """One living runner; `runner` is the device that it was started for, `device` the one that its worker found."""
    status = runner.status
    if status is None:
        state, message = RunnerState.STARTING.value, silence or "The runner is starting."
        return {"ok": not silence, "message": message, "state": state, "runner": runner.device}
    is_paused = status.state is RunnerState.PAUSED
    message = f"The runner is paused. {status.message or ''}".strip() if is_paused else status.message or ""
    return {
        "ok": not is_paused and not silence,
        "message": silence or message,
        "state": status.state.value,
        "runner": runner.device,
        "device": status.device,
        "device_name": status.device_name,
        "job_id": status.job_id,
        "loaded_models": status.loaded_models,
        "updated_at": status.updated_at,
    }
