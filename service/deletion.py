"""Deleting an image on request, so that it stays deleted whatever becomes of its job."""

from __future__ import annotations

from contextlib import suppress

from jobs import ids
from jobs.schema import FINAL_STATES
from jobs.spool import Spool
from outputs.errors import DamagedImage, ImageNotFound
from outputs.store import ImageStore


def delete_image(spool: Spool, store: ImageStore, image_id: str) -> None:
    """Remove an image; raises ImageNotFound, OSError.

    To the next attempt of an interrupted job a deleted image would look like one that was not drawn yet. So
    while its job has not ended, a tombstone is written before the image goes.
    """
    try:
        job_id = store.sidecar(image_id).job_id
        may_run_again = _may_run_again(spool, job_id)
    except DamagedImage:  # whose it is cannot be read
        job_id, may_run_again = ids.image_order(image_id), True
    if not may_run_again:
        store.delete(image_id)
        return
    spool.tombstones.put(image_id, job_id)
    with suppress(ImageNotFound):  # the worker had just stored it, saw the tombstone and removed it first
        store.delete(image_id)


def _may_run_again(spool: Spool, job_id: str) -> bool:
    """Whether a job has not ended. One that has stays so, hence it is first looked for at its end."""
    if not ids.is_job_id(job_id) or any(spool.holds(state, job_id) for state in FINAL_STATES):
        return False
    return spool.exists(job_id)
