"""The pause of the queue: as long as its mark is there no runner begins a job, also after a restart of everything."""

from __future__ import annotations

import os

from core import files
from core.failpoints import failpoint
from core.layout import Layout
from jobs.spool import Spool


def is_paused(layout: Layout) -> bool:
    """Whether no job is to be begun now. One `stat`."""
    return os.path.lexists(layout.paused)


def pause(spool: Spool) -> None:
    """Let no further job begin; those that run go on to their end. Durable and idempotent. Raises OSError."""
    files.replace(spool.layout.paused, b"", spool.layout.temporary, name="pause")
    spool.ring()


def resume(spool: Spool) -> None:
    """Let jobs begin again. Durable and idempotent. Raises OSError."""
    failpoint("resume.before")
    files.unlink(spool.layout.paused)
    failpoint("resume.removed")
    spool.ring()
