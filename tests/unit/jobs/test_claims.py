"""Claims: who may work on a job, and what becomes of it when its holder is gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobs.claims import claim, recover_all
from jobs.errors import DuplicateJob, LostClaim
from jobs.ids import image_id
from jobs.leftovers import sweep
from jobs.pending import PendingQueue
from jobs.schema import Job, JobError, State
from jobs.spool import Spool

NewJob = Callable[..., Job]


def test_a_claimed_job_is_processing_and_held(spool: Spool, new_job: NewJob) -> None:
    job = new_job()
    spool.submit(job)
    held = claim(spool, job.id)
    assert held is not None
    state, stored = spool.find(job.id)
    assert (state, stored.attempts, spool.is_stalled(job.id)) == (State.PROCESSING, 1, False)
    assert claim(spool, job.id, timeout=0) is None
    held.complete()
    assert spool.find(job.id)[0] is State.COMPLETED


def test_an_abandoned_job_goes_back_until_its_attempts_are_used_up(spool: Spool, new_job: NewJob) -> None:
    job = new_job()
    spool.submit(job)
    for attempt in (1, 2, 3):
        held = claim(spool, job.id)
        assert held is not None
        held.abandon()
        assert spool.is_stalled(job.id)
        assert recover_all(spool, max_attempts=3) == (1 if attempt < 3 else 0)
    state, stored = spool.find(job.id)
    assert (state, stored.error and stored.error.type) == (State.FAILED, "runner_died")


def test_the_sweep_removes_the_tombstones_of_ended_jobs_only(spool: Spool, new_job: NewJob) -> None:
    living, ended = new_job("living"), new_job("ended")
    for job in (living, ended):
        spool.submit_named(job)
    spool.cancel("ended")
    images = [image_id(job.order, 1) for job in (living, ended)]
    for image, job_id in zip(images, ("living", "ended"), strict=True):
        spool.tombstones.put(image, job_id)
        spool.tombstones.put(image, job_id)
    spool.tombstones.put(image_id(spool.clock.issue(), 1), "removed-by-hand")
    assert sweep(spool) == 2
    assert [spool.tombstones.has(image) for image in images] == [True, False]
    assert [path.name for path in (spool.layout.spool / "deleted").iterdir()] == [f"{images[0]}.living"]


def test_recovery_never_touches_a_held_job(spool: Spool, new_job: NewJob) -> None:
    job = new_job()
    spool.submit(job)
    held = claim(spool, job.id)
    assert held is not None
    assert recover_all(spool, max_attempts=3) == 0
    assert spool.find(job.id)[0] is State.PROCESSING
    held.requeue(refund_attempt=True)


def test_a_removed_lock_file_ends_the_claim_without_a_commit(spool: Spool, new_job: NewJob) -> None:
    job = new_job()
    spool.submit(job)
    held = claim(spool, job.id)
    assert held is not None
    spool.layout.lock(job.id).unlink()
    with pytest.raises(LostClaim):
        held.fail(JobError(type="x", message="y"))
    held.abandon()


def test_an_id_is_used_once_in_every_state(spool: Spool, new_job: NewJob) -> None:
    spool.submit_named(new_job("castle"))
    with pytest.raises(DuplicateJob):
        spool.submit_named(new_job("castle"))
    held = claim(spool, "castle")
    assert held is not None
    with pytest.raises(DuplicateJob):
        spool.submit_named(new_job("castle"))
    held.complete()
    with pytest.raises(DuplicateJob):
        spool.submit_named(new_job("castle"))


def test_pending_jobs_come_in_order_of_acceptance(spool: Spool, new_job: NewJob) -> None:
    jobs = [new_job(name) for name in (None, "zebra", None, "apple", None)]
    for job in reversed(jobs):
        spool.submit_named(job)
    queue = PendingQueue(spool)
    queue.refresh()
    popped = [queue.pop() for _ in range(6)]
    assert [job and job.id for job in popped] == [*(job.id for job in jobs), None]
