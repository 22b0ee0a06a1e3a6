"""Waiting for a job: told of each change where the server can do that, by polling where it cannot."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import httpx

from client.errors import JobFailed, RejectedInput, ServerUnavailable, ServerUnreachable, WaitTimedOut
from client.results import JobStatus
from client.transport import Transport, parse, segment

#: Seconds that one request may stay open.
LONG_POLL: Final = 30
#: Seconds between two looks where the server answers at once.
POLL: Final = 2.0
#: Seconds between two answers at least, however fast the steps are.
_BREATH: Final = 0.1


class JobWait:
    """One wait for one job. `patience` is how many seconds the server may be away."""

    def __init__(self, transport: Transport, job_id: str, patience: float) -> None:
        self._transport = transport
        self._job_id = job_id
        self._path = f"/api/status/{segment(job_id)}"
        self._patience = patience
        self._version: str | None = None
        self._knows_wait = True
        self._rest = POLL

    def until_completed(self, on_progress: Callable[[JobStatus], object] | None, timeout: float | None) -> JobStatus:
        """The status of the completed job; raises JobFailed, WaitTimedOut and other ClientErrors."""
        end = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            job = self._look_patiently(left)
            if job is not None and on_progress is not None:
                on_progress(job)
            if job is not None and job.is_final:
                return _completed(job)
            self._pause(end)

    def _pause(self, end: float) -> None:
        left = end - time.monotonic()
        if left <= 0:
            raise WaitTimedOut(f"The job {self._job_id} has not ended in time; it goes on at the server.")
        time.sleep(min(left, self._rest))

    def _look_patiently(self, left: float) -> JobStatus | None:
        """The next news, None if there are none; asks again for as long as the patience lasts."""
        given_up = time.monotonic() + min(self._patience, max(left, 0))
        while True:
            try:
                return self._look(left)
            except (ServerUnreachable, ServerUnavailable):
                if time.monotonic() >= given_up:
                    raise
                time.sleep(1.0)

    def _look(self, left: float) -> JobStatus | None:
        seconds = int(max(0, min(LONG_POLL, left)))
        # Without the version of an answer the server cannot tell what is news, and would wait for the end.
        if self._version is None or not self._knows_wait or seconds == 0:
            return self._ask({}, 0)
        try:
            return self._ask({"wait": str(seconds)}, seconds)
        except RejectedInput as error:
            if error.status != httpx.codes.BAD_REQUEST:
                raise
            self._knows_wait = False  # what else may be wrong will be said again
            return self._ask({}, 0)

    def _ask(self, params: dict[str, str], seconds: int) -> JobStatus | None:
        headers = {"If-None-Match": self._version} if self._version else {}
        begun = time.monotonic()
        response = self._transport.send(
            "GET", self._path, params=params, headers=headers, extra_time=seconds, repeatable=True
        )
        if response.status_code == httpx.codes.NOT_MODIFIED:
            # Sooner than asked for: this server does not wait, or is about to stop.
            self._rest = POLL if time.monotonic() - begun < seconds / 2 or seconds == 0 else _BREATH
            return None
        self._version = response.headers.get("ETag")
        self._rest = _BREATH if self._version and self._knows_wait else POLL
        return parse(JobStatus, response)


def _completed(job: JobStatus) -> JobStatus:
    if job.status == "failed":
        raise JobFailed(job)
    return job
