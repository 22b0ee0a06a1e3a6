"""The order of jobs where a warm model may go first: how much, and never more than that."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from core.layout import Layout
from jobs.pending import PendingQueue
from jobs.schema import EffectiveSettings, Job
from jobs.spool import Spool

SETTINGS = EffectiveSettings(
    num_images=1, num_inference_steps=1, guidance_scale=1, height=8, width=8, max_sequence_length=8, seed=1
)


def submit(spool: Spool, model: str) -> Job:
    order = spool.clock.issue()
    job = Job(
        id=order,
        order=order,
        source="http",
        model_id=model,
        prompt="a castle",
        effective_settings=SETTINGS,
        created_at="2026-11-22T00:00:00.000Z",
    )
    spool.submit(job)
    return job


def drain(spool: Spool, look_ahead: int, batches: list[list[str]]) -> tuple[list[Job], list[Job]]:
    """Submit in batches and take one job after each; returns the jobs as submitted and as taken."""
    submitted: list[Job] = []
    taken: list[Job] = []
    queue, warm = PendingQueue(spool), ""
    waiting = list(batches)
    by_id: dict[str, Job] = {}
    while True:
        for model in waiting.pop(0) if waiting else []:
            job = submit(spool, model)
            submitted.append(job)
            by_id[job.id] = job
        queue.refresh()
        popped = queue.pop([warm], look_ahead)
        if popped is None and not waiting:
            return submitted, taken
        if popped is not None:
            taken.append(by_id[popped.id])
            warm = popped.model
            (spool.layout.spool / "pending" / f"{popped.id}.json").unlink()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=4), min_size=1, max_size=6),
    st.integers(min_value=0, max_value=3),
)
def test_nobody_is_overtaken_more_often_than_allowed(batches: list[list[str]], look_ahead: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Layout(Path(folder) / "data"))
        spool.prepare()
        submitted, taken = drain(spool, look_ahead, batches)
    assert sorted(job.order for job in taken) == [job.order for job in submitted]
    for place, job in enumerate(taken):
        overtakers = [other for other in taken[:place] if other.order > job.order]
        assert len(overtakers) <= look_ahead


def test_the_warm_model_goes_first_as_far_as_allowed(spool: Spool) -> None:
    submitted, taken = drain(spool, 2, [["a", "b", "a", "a", "a", "b"]])
    assert [submitted.index(job) for job in taken] == [0, 2, 3, 1, 5, 4]


def test_without_look_ahead_the_oldest_goes_first(spool: Spool) -> None:
    submitted, taken = drain(spool, 0, [["a", "b", "a", "b"]])
    assert taken == submitted
