"""The lock of an id that somebody chose is held by a process that does not go on: waited for, never a verdict."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from core.locks import ExclusiveLock
from jobs.drops.adopter import BUSY_SECONDS, Adopter
from jobs.errors import DuplicateJob, JobBusy
from jobs.requests import RequestValidator
from jobs.schema import Job, State
from jobs.spool import LOCK_SECONDS, Spool
from tests.lock_holder import stopped_holder

NewJob = Callable[..., Job]


def test_a_held_id_is_busy_and_free_again_once_its_holder_is_gone(spool: Spool, new_job: NewJob) -> None:
    job = new_job("castle")
    with stopped_holder(spool.layout.lock("castle")):
        began = time.monotonic()
        with pytest.raises(JobBusy, match="Try again"):
            spool.submit_named(job)
        assert LOCK_SECONDS["http"] <= time.monotonic() - began < 60
        assert not spool.exists("castle")
    spool.submit_named(job)
    with pytest.raises(DuplicateJob):
        spool.submit_named(new_job("castle"))


def test_a_holder_that_goes_on_in_time_is_waited_for(spool: Spool, new_job: NewJob) -> None:
    lock = ExclusiveLock(spool.layout.lock("castle"))
    assert lock.acquire()
    threading.Timer(0.2, lock.release).start()
    spool.submit_named(new_job("castle"))
    assert spool.exists("castle")


def test_a_drop_whose_id_is_held_waits_and_becomes_a_job(spool: Spool, validator: RequestValidator) -> None:
    adopter = Adopter(spool, validator, 30)
    path = spool.layout.incoming / "castle.json"
    path.write_bytes(b'{"id": "castle", "model_id": "tiny", "prompt": "a castle"}')
    cancel = spool.layout.incoming / "castle.cancel"
    with stopped_holder(spool.layout.lock("castle")):
        result = adopter.scan()
        assert (result.waiting, result.refused, result.next_check) == (1, [], BUSY_SECONDS)
        cancel.touch()
        assert adopter.scan().waiting == 2
        assert path.exists()
        assert cancel.exists()
    cancel.unlink()
    assert adopter.scan().adopted == ["castle"]
    assert not path.exists()
    assert spool.find("castle")[0] is State.PENDING
    assert list(spool.layout.rejected.iterdir()) == []
