"""What can be no job, and what else lies about in our folders: kept, out of the way, and said once."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import files
from core.errors import StorageUnavailable
from core.layout import Layout
from jobs.claims import claim, recover_all
from jobs.errors import CorruptJob
from jobs.leftovers import sweep
from jobs.pending import PendingQueue
from jobs.schema import Job, State, encode
from jobs.spool import Spool
from tests.faults import scenario

NewJob = Callable[..., Job]

GARBAGE = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"", b"{}", b"[]", b'{"schema": 1}', b'{"schema": "2"}', b'{"schema": 2', b'{"schema": 0}']),
)


def stall(spool: Spool, job: Job) -> None:
    """Leave a job in `processing` as a worker that was killed does."""
    spool.submit_named(job)
    held = claim(spool, job.id)
    assert held is not None
    held.abandon()


@given(processing=st.lists(GARBAGE, max_size=3), pending=st.lists(GARBAGE, max_size=3))
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_garbage_keeps_no_other_job_from_going_on_and_is_kept(processing: list[bytes], pending: list[bytes]) -> None:
    folder = Path(tempfile.mkdtemp())
    spool, validator = Spool(Layout(folder / "data")), scenario.validator(folder / "models")
    spool.prepare()
    for name in ("a", "z"):
        request = validator.generate(b'{"model_id": "tiny", "prompt": "x"}')
        stall(spool, validator.job(request, job_id=name, order=spool.clock.issue(), source="http"))
    everything = [(State.PROCESSING, content) for content in processing]
    everything += [(State.PENDING, content) for content in pending]
    for number, (state, content) in enumerate(everything):
        spool.path(state, f"m{number}").write_bytes(content)
    assert recover_all(spool, max_attempts=3) == 2
    queue = PendingQueue(spool)
    queue.refresh()
    assert [job.id for job in iter(queue.pop, None)] == ["a", "z"]
    for number, (state, content) in enumerate(everything):
        kept = spool.layout.corrupt / f"m{number}.json"
        assert kept.read_bytes() == content
        reason = json.loads(kept.with_name(f"{kept.name}.reason.json").read_bytes())
        assert reason["message"].startswith(f"{state}/m{number}.json cannot be read as a job: ")
        with pytest.raises(CorruptJob, match="set aside"):
            spool.find(f"m{number}")
    assert sorted(os.listdir(spool.layout.locks)) == ["a.lock", "z.lock"]
    shutil.rmtree(folder)


def test_it_is_said_once(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    spool.path(State.PROCESSING, "bad").write_bytes(b"{}")
    for _ in range(3):
        recover_all(spool, max_attempts=3)
    assert len([record for record in caplog.records if "bad.json" in record.getMessage()]) == 1


def test_a_second_one_of_the_same_name_is_kept_too(spool: Spool) -> None:
    for content in (b"{}", b"[]"):
        spool.path(State.PROCESSING, "bad").write_bytes(content)
        recover_all(spool, max_attempts=3)
    kept = [path for path in spool.layout.corrupt.iterdir() if not path.name.endswith(".reason.json")]
    assert sorted(path.read_bytes() for path in kept) == [b"[]", b"{}"]
    assert len(list(spool.layout.corrupt.iterdir())) == 4


@pytest.mark.parametrize("state", [State.PENDING, State.PROCESSING])
@pytest.mark.parametrize("kind", ["folder", "fifo", "link"])
def test_what_is_no_file_is_set_aside(spool: Spool, new_job: NewJob, state: State, kind: str) -> None:
    stall(spool, new_job("good"))
    odd = spool.path(state, "odd")
    make_odd(odd, kind)
    assert recover_all(spool, max_attempts=3) == 1
    queue = PendingQueue(spool)
    queue.refresh()
    assert [job.id for job in iter(queue.pop, None)] == ["good"]
    assert os.path.lexists(spool.layout.corrupt / "odd.json")
    assert not os.path.lexists(odd)


def test_a_copy_of_a_job_under_another_name_is_no_job(spool: Spool, new_job: NewJob) -> None:
    job = new_job("castle")
    spool.submit_named(job)
    spool.path(State.PENDING, "copy").write_bytes(encode(job))
    queue = PendingQueue(spool)
    queue.refresh()
    assert [job.id for job in iter(queue.pop, None)] == ["castle"]
    assert claim(spool, "copy") is None
    assert spool.find("castle") == (State.PENDING, job)


def test_what_another_process_holds_is_left_to_it(spool: Spool, new_job: NewJob) -> None:
    job = new_job("held")
    spool.submit_named(job)
    held = claim(spool, job.id)
    assert held is not None
    path = spool.path(State.PROCESSING, job.id)
    path.write_bytes(b"{}")
    recover_all(spool, max_attempts=3)
    assert path.read_bytes() == b"{}"
    held.abandon()
    assert recover_all(spool, max_attempts=3) == 0
    assert not path.exists()


def test_a_disk_that_refuses_one_recovery_keeps_no_other_from_it(
    spool: Spool, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        stall(spool, new_job(name))
    replace = files.replace

    def refuse(path: Path, content: bytes, *args: object, **kwargs: object) -> None:
        if path.name == "b.json":
            raise PermissionError(13, "Permission denied", str(path))
        replace(path, content, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "replace", refuse)
    with pytest.raises(StorageUnavailable, match="1 of the stalled jobs could not be recovered: Permission denied"):
        recover_all(spool, max_attempts=3)
    assert sorted(spool.ids(State.PENDING)) == ["a", "c"]
    monkeypatch.undo()
    assert recover_all(spool, max_attempts=3) == 1


def make_odd(path: Path, kind: str) -> None:
    """Something that is no regular file."""
    match kind:
        case "folder":
            path.mkdir()
            (path / "inside").touch()
        case "fifo":
            os.mkfifo(path)
        case "link":
            path.symlink_to("/nowhere")


@pytest.mark.parametrize("kind", ["folder", "fifo", "link"])
def test_the_sweep_passes_over_what_is_not_ours(spool: Spool, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    odd = [
        spool.layout.temporary / "odd",
        spool.layout.progress / "odd.json",
        spool.layout.cancel / "odd",
        spool.layout.locks / "strange.lock",
        spool.layout.deleted / "img.odd",
    ]
    for path in odd:
        make_odd(path, kind)
    draft = spool.layout.temporary / "0123"
    draft.touch()
    sweep(spool)
    assert not draft.exists()
    assert os.path.lexists(odd[0]) or kind == "fifo"
    if kind == "folder":
        assert all(path.is_dir() for path in odd)
        said = [record.getMessage() for record in caplog.records]
        assert all(any(str(path) in line for line in said) for path in odd[:2])
    spool.prepare()
