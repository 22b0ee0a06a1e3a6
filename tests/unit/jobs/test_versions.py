"""Files of a newer program: kept, left alone, and said so in a sentence; never taken for damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data_directory import FORMAT
from core.errors import DataDirectoryError
from core.layout import MARKER, Layout
from jobs.claims import claim, recover_all
from jobs.errors import CorruptJob, NewerJob
from jobs.job_format import decode_job, encode_over
from jobs.pending import PendingQueue
from jobs.schema import FINAL_STATES, Job, JobError, State, encode
from jobs.spool import Spool

NewJob = Callable[..., Job]

DATA = Path(__file__).resolve().parents[2] / "data"
JOB = DATA / "job_v1.json"
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_UNKNOWN = st.dictionaries(st.text(min_size=1).map("x_{}".format), _JSON, max_size=4)
_CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "attempts": st.integers(0, 9),
    "started_at": st.none() | st.just("2026-11-22T10:00:00.000Z"),
    "warnings": st.lists(st.text()),
    "not_before": st.floats(0, 2e9),
    "outcome": st.sampled_from([None, "completed", "failed"]),
    "error": st.none() | st.builds(JobError, type=st.text(), message=st.text()),
}


def change(path: Path, **fields: object) -> dict[str, Any]:
    """Write fields into a job's file, as a newer program would; returns the document."""
    document: dict[str, Any] = json.loads(path.read_bytes()) | fields
    path.write_text(json.dumps(document), encoding="utf-8")
    return document


# --- The data directory -----------------------------------------------------------------------


def test_a_new_data_directory_names_its_format(spool: Spool) -> None:
    assert f"format: {FORMAT}\n" in (spool.layout.data / MARKER).read_text()


@pytest.mark.parametrize("content", ["This is a CyberImage data directory.\n", ""])
def test_one_without_a_format_opens_and_gets_one(spool: Spool, new_job: NewJob, content: str) -> None:
    job = new_job()
    spool.submit(job)
    spool.layout.marker.write_text(content)
    Spool(spool.layout).prepare()
    assert f"format: {FORMAT}\n" in spool.layout.marker.read_text()
    assert spool.find(job.id) == (State.PENDING, job)


@pytest.mark.parametrize("word", [str(FORMAT + 1), "12", "two", ""])
def test_one_of_a_newer_format_is_refused_and_left_as_it_is(tmp_path: Path, word: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / MARKER).write_text(f"This is a CyberImage data directory.\nformat: {word}\n")
    with pytest.raises(DataDirectoryError, match=f"format '{word}', and this version of CyberImage knows"):
        Spool(Layout(data)).prepare(create_anyway=True)
    assert [path.name for path in data.iterdir()] == [MARKER]


# --- Jobs of a newer schema -------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_a_job_of_a_newer_schema_is_told_from_a_damaged_one(spool: Spool, new_job: NewJob, state: State) -> None:
    job = new_job()
    path = spool.path(state, job.id)
    path.write_bytes(encode(job))
    change(path, schema=2, attempts={"count": 1})
    with pytest.raises(NewerJob, match=rf"{job.id}.json was written by a newer version .*schema 2"):
        spool.find(job.id)
    path.write_bytes(b"{}")
    with pytest.raises(CorruptJob) as caught:
        spool.find(job.id)
    assert not isinstance(caught.value, NewerJob)


@pytest.mark.parametrize("state", [State.PENDING, State.PROCESSING])
def test_a_job_of_a_newer_schema_stays_where_it_is(
    spool: Spool, new_job: NewJob, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    newer, other = new_job(), new_job()
    for job in (newer, other):
        spool.path(state, job.id).write_bytes(encode(job))
    change(spool.path(state, newer.id), schema=2)
    content = spool.path(state, newer.id).read_bytes()
    for _ in range(3):
        recover_all(spool, max_attempts=3)
    queue = PendingQueue(spool)
    for _ in range(3):
        queue.refresh()
    assert [job.id for job in iter(queue.pop, None)] == [other.id]
    assert spool.path(state, newer.id).read_bytes() == content
    assert len([record for record in caplog.records if newer.id in record.getMessage()]) <= 1


# --- Fields of a newer program ----------------------------------------------------------------


@given(outer=_UNKNOWN, inner=_UNKNOWN, changes=st.fixed_dictionaries({}, optional=_CHANGES))
def test_a_rewrite_changes_what_is_known_and_keeps_the_rest(
    outer: dict[str, object], inner: dict[str, object], changes: dict[str, Any]
) -> None:
    before = json.loads(JOB.read_bytes()) | outer
    before["effective_settings"] |= inner
    content = json.dumps(before).encode()
    job = decode_job(content, "a job").evolve(**changes)
    after = encode_over(content, job)
    assert decode_job(after, "a job") == job
    written = json.loads(after)
    assert {name: written[name] for name in outer} == outer
    assert {name: written["effective_settings"][name] for name in inner} == inner
    assert encode_over(after, job) == after


def test_what_is_not_a_job_is_replaced() -> None:
    job = decode_job(JOB.read_bytes(), "a job")
    for content in (b"", b"[]", b"{}", b"\xff"):
        assert encode_over(content, job) == encode(job)


@pytest.mark.parametrize("end", [*FINAL_STATES, State.PENDING])
def test_unknown_fields_survive_the_whole_life_of_a_job(spool: Spool, new_job: NewJob, end: State) -> None:
    job = new_job()
    spool.submit(job)
    change(spool.path(State.PENDING, job.id), tags=["castle"], priority={"level": 3})
    held = claim(spool, job.id)
    assert held is not None
    held.warn("a warning")
    if end is State.PENDING:
        held.requeue()
    elif end is State.COMPLETED:
        held.complete()
    elif end is State.FAILED:
        held.fail(JobError(type="x", message="y"))
    else:
        held.cancel()
    document = json.loads(spool.path(end, job.id).read_bytes())
    assert (document["tags"], document["priority"]) == (["castle"], {"level": 3})
    assert (document["attempts"], document["warnings"]) == (1, ["a warning"])
