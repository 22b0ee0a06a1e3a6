"""Leftovers: what processes that were killed did not remove."""

from __future__ import annotations

import logging
from pathlib import Path

from core import files
from core.locks import ExclusiveLock
from jobs.claims import is_active, let_go
from jobs.ids import is_job_id
from jobs.spool import Spool
from jobs.tombstones import Tombstones

logger = logging.getLogger(__name__)


def sweep(spool: Spool) -> int:
    """Remove what processes that were killed left behind: drafts, and locks, progress, turns, tombstones of ended jobs.

    Returns how many files. Safe at any time: whatever a living process holds is spared, and what is not ours stays.
    """
    removed = files.sweep(spool.layout.temporary)
    layout = spool.layout
    for folder in (layout.locks, layout.progress, layout.cancel, layout.turns, layout.deleted):
        for path in folder.iterdir():
            job_id = path.name.removesuffix(".lock").removesuffix(".json").removesuffix(".webp")
            job_id = Tombstones.job_of(path.name) if folder == layout.deleted else job_id
            if is_job_id(job_id) and not is_active(spool, job_id):
                removed += _swept(spool, job_id, path)
    return removed


def _swept(spool: Spool, job_id: str, path: Path) -> bool:
    try:
        return _sweep_ended(spool, job_id)
    except OSError as error:
        logger.warning("%s cannot be removed and stays: %s", path, error.strerror)
        return False


def _sweep_ended(spool: Spool, job_id: str) -> bool:
    """Forget a job that has ended, unless somebody is about to publish it."""
    lock = ExclusiveLock(spool.layout.lock(job_id))
    if not lock.acquire():
        return False
    try:
        if not is_active(spool, job_id):
            spool.forget(job_id)
    finally:
        let_go(spool, lock, job_id)
    return True
