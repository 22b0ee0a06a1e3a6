"""Health: whether this process answers, and whether jobs can be taken and will be drawn."""

from __future__ import annotations

from typing import Any

import falcon
from falcon import Request, Response

from core import files
from core.errors import IndexUnavailable
from http_api.api.answers import LiveAnswer, ReadyAnswer
from jobs import runner_status
from jobs.runner_status import Runner, RunnerState
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

    def on_get(self, req: Request, resp: Response) -> None:
        """Look at the storage, the queue, the index and the runner."""
        checks = {
            "storage": self._storage(),
            "queue": self._queue(),
            "index": self._index(),
            "runner": self._runner(),
        }
        troubles = [check["message"] for check in checks.values() if not check["ok"]]
        resp.status = falcon.HTTP_503 if troubles else falcon.HTTP_200
        resp.media = ReadyAnswer(
            status="error" if troubles else "ok", message=" ".join(troubles) or "Ready.", checks=checks
        )

    on_head = on_get

    def _storage(self) -> dict[str, Any]:
        spool = self._services.spool
        message = "" if spool.has_disk_space() else "Less free space is left than the reserve."
        try:
            files.check_writable(spool.layout.temporary)
        except OSError as error:
            message = f"The data directory cannot be written: {error.strerror}."
        return {"ok": not message, "message": message, "free_bytes": spool.capacity.free_bytes()}

    def _queue(self) -> dict[str, Any]:
        pending, limit = self._services.spool.pending_count(), self._services.settings.max_pending
        is_full = pending >= limit
        message = f"The queue is full: {pending} jobs are pending." if is_full else ""
        return {"ok": not is_full, "message": message, "pending": pending, "limit": limit}

    def _index(self) -> dict[str, Any]:
        try:
            self._services.jobs.counts()
        except IndexUnavailable as error:
            return {"ok": False, "message": str(error)}
        return {"ok": True, "message": ""}

    def _runner(self) -> dict[str, Any]:
        """The runner that is most able to draw (the busy one, if there is one), and all that live."""
        runners = [_look(runner) for runner in runner_status.read_living(self._services.layout)]
        if not runners:
            reason = runner_status.why_stopped(self._services.layout) or ""
            message = f"No runner is running; jobs wait until one is started. {reason}".strip()
            return {"ok": False, "message": message, "state": RunnerState.STOPPED.value, "runners": []}
        best = max(runners, key=lambda runner: (runner["ok"], runner.get("job_id") is not None))
        return {key: value for key, value in best.items() if key != "runner"} | {"runners": runners}


def _look(runner: Runner) -> dict[str, Any]:
    """One living runner; `runner` is the device that it was started for, `device` the one that its worker found."""
    status = runner.status
    if status is None:
        state = RunnerState.STARTING.value
        return {"ok": True, "message": "The runner is starting.", "state": state, "runner": runner.device}
    is_paused = status.state is RunnerState.PAUSED
    message = f"The runner is paused. {status.message or ''}".strip() if is_paused else status.message or ""
    return {
        "ok": not is_paused,
        "message": message,
        "state": status.state.value,
        "runner": runner.device,
        "device": status.device,
        "device_name": status.device_name,
        "job_id": status.job_id,
        "loaded_models": status.loaded_models,
        "updated_at": status.updated_at,
    }
