"""What is remembered of a caller between its calls, for doors whose clients expect that: its model, its calls.

Small files that anybody may remove at any time; nothing of them is synced. So all processes see the same.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import msgspec
from msgspec import Struct

from core import files
from jobs.errors import CorruptJob, JobNotFound
from jobs.ids import is_job_id
from jobs.spool import Spool

#: What was chosen is forgotten when it was not chosen again for so many seconds, or of the most callers the oldest.
_KEPT_SECONDS: Final = 30 * 86400.0
_MOST_CALLERS: Final = 10_000


class CallerOptions(Struct, frozen=True, kw_only=True):
    """What a caller has chosen for its later calls."""

    model: str | None = None


class Callers:
    """The callers of one data directory, by what an Idempotency-Key is unique in (`Client.scope`)."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._layout = spool.layout

    def options(self, caller: str) -> CallerOptions:
        """What the caller has chosen; the defaults where nothing is remembered. Raises OSError."""
        try:
            return msgspec.json.decode(files.read(self._layout.caller_options(_name(caller))), type=CallerOptions)
        except (FileNotFoundError, files.NotRegularFile, msgspec.DecodeError):
            return CallerOptions()

    def choose(self, caller: str, options: CallerOptions) -> None:
        """Remember what the caller has chosen; raises OSError."""
        path = self._layout.caller_options(_name(caller))
        content = msgspec.json.encode(options)
        files.replace(path, content, self._layout.temporary, durable=False, name="caller")

    @contextmanager
    def calling(self, caller: str, job_id: str) -> Iterator[None]:
        """Let the job be one of the caller's, within the context. Raises OSError."""
        path = self._layout.caller_job(_name(caller), job_id)
        files.replace(path, b"", self._layout.temporary, durable=False, name="call")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    def jobs(self, caller: str) -> list[str]:
        """The ids of the jobs whose pictures the caller waits for; perhaps also of ended ones. Raises OSError."""
        beginning = f"{_name(caller)}."
        found = (
            name.removeprefix(beginning) for name in os.listdir(self._layout.callers) if name.startswith(beginning)
        )
        return [name for name in found if is_job_id(name)]


def sweep(spool: Spool) -> int:
    """Remove what killed processes left behind, and what was chosen long ago; returns how many. Raises OSError."""
    removed = 0
    chosen = []
    for path in spool.layout.callers.iterdir():
        _, dot, job_id = path.name.partition(".")
        if not dot:
            with suppress(FileNotFoundError):
                chosen.append((path.stat().st_mtime, path))
        elif is_job_id(job_id) and _has_ended(spool, job_id):
            path.unlink(missing_ok=True)
            removed += 1
    chosen.sort(reverse=True)
    for number, (moment, path) in enumerate(chosen):
        if number >= _MOST_CALLERS or abs(time.time() - moment) > _KEPT_SECONDS:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _has_ended(spool: Spool, job_id: str) -> bool:
    try:
        return spool.find(job_id)[0].is_final
    except (JobNotFound, CorruptJob):
        return True


def _name(caller: str) -> str:
    """A caller as it may stand in a file's name."""
    return hashlib.sha256(caller.encode()).hexdigest()[:32]
