"""Adoption: what a user drops becomes a job, is refused with its bytes kept, or is left alone. Nothing vanishes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import files
from core.layout import Layout
from jobs.claims import claim
from jobs.drops.adopter import RETRY_SECONDS, Adopter
from jobs.drops.zone import Drop
from jobs.pictures import MOST_BYTES
from jobs.requests import RequestValidator
from jobs.schema import Job, JobError, State
from jobs.spool import Spool

QUIET = 30.0
GOOD = b'{"model_id": "tiny", "prompt": "a castle"}'
NAMED = b'{"id": "castle", "model_id": "tiny", "prompt": "a castle"}'


class Clock:
    """A monotonic clock that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def adopter(spool: Spool, validator: RequestValidator, clock: Clock) -> Adopter:
    return Adopter(spool, validator, QUIET, monotonic=clock)


@pytest.fixture
def drop(spool: Spool) -> Callable[[str, bytes], Path]:
    def write(name: str, content: bytes) -> Path:
        path = spool.layout.incoming / name
        path.write_bytes(content)
        return path

    return write


Dropper = Callable[[str, bytes], Path]


def jobs_in(spool: Spool, state: State = State.PENDING) -> list[Job]:
    return sorted((spool.read(state, job_id) for job_id in spool.ids(state)), key=lambda job: job.order)


def reason(spool: Spool, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((spool.layout.rejected / f"{name}.reason.json").read_bytes())
    return record


# --- Good drops -----------------------------------------------------------------------------------


def test_a_drop_becomes_a_pending_job_and_is_removed(spool: Spool, adopter: Adopter, drop: Dropper) -> None:
    path = drop("castle.json", GOOD)
    result = adopter.scan()
    (job,) = jobs_in(spool)
    assert result.adopted == [job.id]
    assert (job.source, job.prompt, job.model_id) == ("file", "a castle", "tiny")
    assert not path.exists()
    assert (result.waiting, result.next_check) == (0, None)


def test_a_drop_may_bring_its_own_id(spool: Spool, adopter: Adopter, drop: Dropper) -> None:
    drop("x.json", NAMED)
    assert adopter.scan().adopted == ["castle"]
    assert spool.find("castle")[0] is State.PENDING


def test_a_byte_order_mark_is_accepted(adopter: Adopter, drop: Dropper) -> None:
    drop("x.json", b"\xef\xbb\xbf" + NAMED)
    assert adopter.scan().adopted == ["castle"]


def test_a_hard_link_is_accepted_and_its_source_unchanged(
    tmp_path: Path, spool: Spool, adopter: Adopter, drop: Dropper
) -> None:
    source = tmp_path / "template.json"
    source.write_bytes(GOOD)
    before = source.stat().st_mtime_ns
    os.link(source, spool.layout.incoming / "x.json")
    assert len(adopter.scan().adopted) == 1
    assert (source.read_bytes(), source.stat().st_mtime_ns, source.stat().st_nlink) == (GOOD, before, 1)


def test_the_same_file_linked_in_again_is_a_new_job(tmp_path: Path, spool: Spool, adopter: Adopter) -> None:
    source = tmp_path / "template.json"
    source.write_bytes(GOOD)
    for _ in range(3):
        os.link(source, spool.layout.incoming / "x.json")
        adopter.scan()
    assert len(jobs_in(spool)) == 3


def test_the_same_file_copied_again_with_its_times_is_a_new_job(tmp_path: Path, spool: Spool, adopter: Adopter) -> None:
    """The second copy may get the inode number of the first, and `cp -p` gives it the same time."""
    source = tmp_path / "template.json"
    source.write_bytes(GOOD)
    os.utime(source, ns=(1, 1))
    for _ in range(3):
        shutil.copy2(source, spool.layout.incoming / "x.json")
        adopter.scan()
    assert len(jobs_in(spool)) == 3


def test_the_oldest_arrival_comes_first_whatever_its_own_times_say(
    spool: Spool, adopter: Adopter, drop: Dropper
) -> None:
    for number, name in enumerate(["c", "a", "b"]):
        path = drop(f"{name}.json", json.dumps({"id": name, "model_id": "tiny", "prompt": "x"}).encode())
        os.utime(path, (9 - number, 9 - number))
        wait_for_a_later_ctime(path)
    adopter.scan()
    assert [job.id for job in jobs_in(spool)] == ["c", "a", "b"]


def wait_for_a_later_ctime(path: Path) -> None:
    """Until the file system's clock has moved on, so that the next file is told apart."""
    probe = path.parent / ".probe"
    while True:
        probe.touch()
        if probe.stat().st_ctime_ns > path.stat().st_ctime_ns:
            return


@pytest.mark.parametrize("content", [GOOD, NAMED])
def test_a_copy_in_the_same_clock_tick_on_the_same_inode_is_another_drop(
    content: bytes, spool: Spool, adopter: Adopter, drop: Dropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by hypothesis: the second copy was taken for the first and vanished."""
    first = drop("x.json", content).stat()
    adopter.scan()
    monkeypatch.setattr("jobs.drops.zone._look_at", lambda entry: Drop(Path(entry.path), first))
    monkeypatch.setattr(files, "read_with_status", lambda path, **_: (Path(path).read_bytes(), first))
    monkeypatch.setattr("jobs.drops.adopter.remove_drop", lambda path, _: path.unlink())
    drop("x.json", content)
    adopter.scan()
    jobs = len(jobs_in(spool))
    refused = len(list(spool.layout.rejected.glob("*.reason.json")))
    assert jobs + refused == 2


# --- Incomplete drops -----------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(len(NAMED)))
def test_every_beginning_of_a_file_waits_and_is_adopted_once_whole(
    cut: int, spool: Spool, adopter: Adopter, clock: Clock, drop: Dropper
) -> None:
    path = drop("x.json", NAMED[:cut])
    result = adopter.scan()
    assert (result.waiting, result.refused, result.next_check) == (1, [], QUIET)
    clock.now += QUIET - 1
    assert adopter.scan().next_check == pytest.approx(1)
    path.write_bytes(NAMED)
    assert adopter.scan().adopted == ["castle"]


def test_a_growing_file_is_given_new_time_at_each_change(adopter: Adopter, clock: Clock, drop: Dropper) -> None:
    path = drop("x.json", b"")
    for length in range(1, len(NAMED)):
        path.write_bytes(NAMED[:length])
        assert adopter.scan().waiting == 1
        clock.now += QUIET - 0.5
    path.write_bytes(NAMED)
    assert adopter.scan().adopted == ["castle"]


def test_an_unfinished_file_is_refused_after_the_quiet_time(
    spool: Spool, adopter: Adopter, clock: Clock, drop: Dropper
) -> None:
    path = drop("x.json", NAMED[:-5])
    adopter.scan()
    clock.now += QUIET
    assert adopter.scan().refused == ["x.json"]
    assert (spool.layout.rejected / "x.json").read_bytes() == NAMED[:-5]
    assert "not valid JSON" in reason(spool, "x.json")["message"]
    assert not path.exists()


def test_an_unchanged_file_is_not_read_again(
    adopter: Adopter, clock: Clock, drop: Dropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop("x.json", NAMED[:-1])
    adopter.scan()
    monkeypatch.setattr(files, "read_with_status", pytest.fail)
    clock.now += QUIET / 2
    assert adopter.scan().waiting == 1


def test_an_old_modification_time_does_not_count_as_quiet(adopter: Adopter, drop: Dropper) -> None:
    """`cp -p` and tar set old times on files that are still being written."""
    os.utime(drop("x.json", NAMED[:-1]), (1, 1))
    assert adopter.scan().refused == []


def test_what_is_written_after_the_job_was_whole_is_kept(
    spool: Spool, adopter: Adopter, drop: Dropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop("x.json", NAMED)
    submit = spool.submit_named

    def submit_and_append(job: Job) -> None:
        submit(job)
        with path.open("ab") as stream:
            stream.write(b"\n{}")

    monkeypatch.setattr(spool, "submit_named", submit_and_append)
    result = adopter.scan()
    assert (result.adopted, result.refused) == (["castle"], ["x.json"])
    assert (spool.layout.rejected / "x.json").read_bytes() == NAMED + b"\n{}"


def test_a_drop_replaced_during_adoption_is_a_drop_of_its_own(
    spool: Spool, adopter: Adopter, drop: Dropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop("x.json", NAMED)
    submit = spool.submit_named

    def submit_and_replace(job: Job) -> None:
        submit(job)
        other = spool.layout.incoming / ".other"
        other.write_bytes(GOOD)
        other.rename(path)

    monkeypatch.setattr(spool, "submit_named", submit_and_replace)
    adopter.scan()
    monkeypatch.undo()
    assert path.read_bytes() == GOOD
    adopter.scan()
    assert len(jobs_in(spool)) == 2


# --- Refused drops --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "field", "words"),
    [
        (b"[]", "", "array"),
        (b"{}", "model_id", "Missing"),
        (b'{"model_id": "nix", "prompt": "x"}', "model_id", "tiny"),
        (b'{"model_id": "tiny", "prompt": "x", "settings": {"width": 33}}', "settings.width", "33"),
        (b'{"id": "../x", "model_id": "tiny", "prompt": "x"}', "id", "letters"),
        (b'{"model_id": "tiny", "prompt": "x", "prompt": "y"}', "prompt", "twice"),
        (b'{"model_id": "tiny", "prompt": "x", "settings": {"guidance_scale": NaN}}', "settings.guidance_scale", "NaN"),
        (NAMED.decode().encode("utf-16"), "", "UTF-8"),
        (b"[" * 60_000, "", "nested"),
        (b"1" * 60_000, "", "number"),
        (GOOD + b" " * 65_536, "", "65536"),
    ],
)
def test_a_bad_drop_is_refused_at_once_with_its_reason(
    content: bytes, field: str, words: str, spool: Spool, adopter: Adopter, drop: Dropper
) -> None:
    path = drop("x.json", content)
    assert adopter.scan().refused == ["x.json"]
    assert (spool.layout.rejected / "x.json").read_bytes() == content
    record = reason(spool, "x.json")
    assert (record["status"], record["file"], record["field"]) == ("error", "x.json", field)
    assert words in record["message"]
    assert record["refused_at"].endswith("Z")
    assert not path.exists()
    assert jobs_in(spool) == []


def test_refused_drops_of_one_name_are_all_kept(spool: Spool, adopter: Adopter, drop: Dropper) -> None:
    for content in (b"[1]", b"[2]", b"[3]"):
        drop("x.json", content)
        adopter.scan()
    kept = {
        path.read_bytes() for path in spool.layout.rejected.glob("x*.json") if not path.name.endswith(".reason.json")
    }
    assert kept == {b"[1]", b"[2]", b"[3]"}
    assert len(list(spool.layout.rejected.glob("*.reason.json"))) == 3


def test_a_refused_drop_never_takes_the_name_of_a_reason(spool: Spool, adopter: Adopter, drop: Dropper) -> None:
    for name in ("x.json", "x.json.reason.json", "x.json.reason.json.reason.json"):
        drop(name, b"[]")
        adopter.scan()
    assert len(list(spool.layout.rejected.iterdir())) == 6
    assert reason(spool, "x.json")["file"] == "x.json"


def test_a_huge_sparse_file_is_refused_without_being_read(spool: Spool, adopter: Adopter, drop: Dropper) -> None:
    path = drop("x.json", b"")
    os.truncate(path, 1 << 30)
    assert adopter.scan().refused == ["x.json"]
    assert (spool.layout.rejected / "x.json").stat().st_size == 1 << 30
    assert not path.exists()


def test_a_drop_that_cannot_be_linked_is_copied(
    spool: Spool, adopter: Adopter, drop: Dropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where `incoming/` is a mount of its own, or the file has another owner."""
    path = drop("x.json", b"[]")
    refuse_links_from(spool.layout.incoming, monkeypatch)
    assert adopter.scan().refused == ["x.json"]
    assert (spool.layout.rejected / "x.json").read_bytes() == b"[]"
    assert reason(spool, "x.json")["file"] == "x.json"
    assert not path.exists()


def test_a_huge_file_that_cannot_be_linked_stays(
    spool: Spool, adopter: Adopter, drop: Dropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop("x.json", b" ")
    os.truncate(path, MOST_BYTES + 1)
    refuse_links_from(spool.layout.incoming, monkeypatch)
    result = adopter.scan()
    assert (result.waiting, result.next_check) == (1, RETRY_SECONDS)
    assert path.stat().st_size == MOST_BYTES + 1
    assert "too large" in reason(spool, "x.json")["message"]


def refuse_links_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def guarded(source: Path, target: Path, **options: Any) -> None:
        if Path(source).parent == folder:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        link(source, target, **options)

    monkeypatch.setattr(os, "link", guarded)


@pytest.mark.parametrize("state", list(State))
def test_a_duplicate_id_is_refused_whatever_the_state_of_the_first(
    state: State, spool: Spool, adopter: Adopter, drop: Dropper, new_job: Callable[..., Job]
) -> None:
    bring_to(spool, new_job("castle"), state)
    before = spool.path(state, "castle").read_bytes()
    drop("x.json", NAMED)
    result = adopter.scan()
    assert (result.adopted, result.refused) == ([], ["x.json"])
    assert reason(spool, "x.json")["message"].startswith("duplicate id")
    assert spool.path(state, "castle").read_bytes() == before


def bring_to(spool: Spool, job: Job, state: State) -> None:
    spool.submit(job)
    if state is State.PENDING:
        return
    held = claim(spool, job.id)
    assert held is not None
    match state:
        case State.COMPLETED:
            held.complete()
        case State.FAILED:
            held.fail(JobError(type="x", message="x"))
        case State.CANCELLED:
            held.cancel()


# --- After a crash --------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [GOOD, NAMED])
@pytest.mark.parametrize("state", list(State))
def test_a_drop_that_was_adopted_but_not_removed_makes_one_job(
    content: bytes,
    state: State,
    spool: Spool,
    validator: RequestValidator,
    adopter: Adopter,
    drop: Dropper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = drop("x.json", content)
    with monkeypatch.context() as patch:
        patch.setattr("jobs.drops.adopter.remove_drop", lambda *_: False)
        (job_id,) = adopter.scan().adopted
    if state is not State.PENDING:
        move_on(spool, job_id, state)
    result = Adopter(spool, validator, QUIET).scan()
    assert (result.adopted, result.refused) == ([], [])
    assert not path.exists()
    assert spool.find(job_id)[0] is state
    assert list(spool.layout.rejected.iterdir()) == []


def move_on(spool: Spool, job_id: str, state: State) -> None:
    job = spool.read(State.PENDING, job_id)
    spool.path(State.PENDING, job_id).unlink()
    bring_to(spool, job, state)


def test_a_refusal_cut_short_is_finished_without_a_second_copy(
    spool: Spool, validator: RequestValidator, adopter: Adopter, drop: Dropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop("x.json", b"[]")
    with monkeypatch.context() as patch:
        patch.setattr("jobs.drops.rejected.remove_drop", lambda *_: False)
        adopter.scan()
    assert path.exists()
    Adopter(spool, validator, QUIET).scan()
    assert not path.exists()
    assert sorted(os.listdir(spool.layout.rejected)) == ["x.json", "x.json.reason.json"]


# --- Left alone -----------------------------------------------------------------------------------


OTHERS = [
    # editors
    *("x.json~", "x.swp", "#x.json#", "x.json.bak", "x.json.save", "x.json___jb_tmp___", "x.json.orig", "4913"),
    # transfers
    *(
        "x.json.part",
        "x.filepart",
        "x.TMP",
        "x.json.crdownload",
        "x.json.opdownload",
        "x.json.!sync",
        "x.json.download",
    ),
    *("x.json.aria2", "x.json.5f3d.partial", "x.json.filepart", "x.json.tmp"),
    # what a person may take for a job
    *("castle", "castle.txt", "castle.json.txt", "json"),
]


@pytest.mark.parametrize("name", OTHERS)
def test_only_files_that_are_called_so_are_taken_and_others_are_told_of(
    name: str, spool: Spool, adopter: Adopter, drop: Dropper, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    path = drop(name, GOOD)
    before = path.stat()
    for _ in range(3):
        result = adopter.scan()
        assert (result.waiting, result.next_check, result.refused, result.adopted) == (0, None, [], [])
        assert list(spool.layout.rejected.iterdir()) == []
        clock.now += QUIET / 3
    for _ in range(3):
        adopter.scan()
        assert path.stat() == before
        assert "Only files called *.json are taken" in reason(spool, name)["message"]
        assert len(caplog.records) == 1
        clock.now += QUIET
    path.rename(path.with_name("real.json"))
    assert len(adopter.scan().adopted) == 1
    assert list(spool.layout.rejected.iterdir()) == []


@pytest.mark.parametrize("name", [".x.json", ".x.json.swp", ".#x.json", ".goutputstream-X", ".x.json.cancel"])
def test_hidden_files_are_never_touched_and_never_told_of(
    name: str, spool: Spool, adopter: Adopter, drop: Dropper, clock: Clock
) -> None:
    path = drop(name, GOOD)
    for _ in range(3):
        assert adopter.scan().adopted == []
        clock.now += QUIET
    assert path.exists()
    assert list(spool.layout.rejected.iterdir()) == []


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(suffix=st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_half_a_transfer_under_any_other_name_becomes_no_job(suffix: str, spool: Spool, adopter: Adopter) -> None:
    """Whatever a program appends while it writes, the file becomes a job only once it has its own name."""
    part = spool.layout.incoming / f"x.json.{suffix}"
    if part.name.lower().endswith((".json", ".cancel")):
        return
    part.write_bytes(GOOD)  # whole already, though its writer has not finished
    assert adopter.scan().adopted == []
    part.rename(spool.layout.incoming / "x.json")
    assert len(adopter.scan().adopted) == 1


def test_a_transfer_that_goes_on_is_not_told_of(spool: Spool, adopter: Adopter, drop: Dropper, clock: Clock) -> None:
    for size in range(1, 6):
        drop("x.json.part", b"x" * size)
        adopter.scan()
        clock.now += QUIET * 0.8
    assert list(spool.layout.rejected.iterdir()) == []


def make_odd(kind: str, path: Path) -> socket.socket | None:
    match kind:
        case "a named pipe":
            os.mkfifo(path)
        case "a directory":
            path.mkdir()
        case "a symbolic link":
            path.symlink_to("/etc/passwd")
        case "a device":
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        case "a socket":
            listener = socket.socket(socket.AF_UNIX)
            folder = os.open(path.parent, os.O_RDONLY)
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
            os.close(folder)
            return listener
    return None


@pytest.mark.parametrize("kind", ["a named pipe", "a directory", "a symbolic link", "a device", "a socket"])
def test_what_is_not_a_regular_file_is_left_alone_and_recorded_once(
    kind: str, spool: Spool, validator: RequestValidator, drop: Dropper, caplog: pytest.LogCaptureFixture
) -> None:
    if kind == "a device" and os.geteuid() != 0:
        pytest.skip("making a device needs root")
    listener = make_odd(kind, spool.layout.incoming / "odd.json")
    drop("x.json", NAMED)
    for _ in range(2):  # also after a restart
        adopter = Adopter(spool, validator, QUIET)
        adopter.scan()
        adopter.scan()
    assert spool.exists("castle")
    assert kind in reason(spool, "odd.json")["message"]
    assert os.listdir(spool.layout.rejected) == ["odd.json.reason.json"]
    assert os.path.lexists(spool.layout.incoming / "odd.json")
    assert sum("odd.json" in line for line in caplog.messages) == 2
    if listener:
        listener.close()


def test_an_unreadable_drop_is_recorded_and_tried_again(
    spool: Spool, adopter: Adopter, clock: Clock, drop: Dropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop("x.json", NAMED)
    drop("y.json", GOOD)
    opened = os.open
    tries = []

    def guarded(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith("/x.json"):
            tries.append(path)
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", guarded)
        result = adopter.scan()
        assert (len(result.adopted), result.waiting, result.next_check) == (1, 1, RETRY_SECONDS)
        clock.now += RETRY_SECONDS - 1
        adopter.scan()
        assert len(tries) == 1
        assert "Permission denied" in reason(spool, "x.json")["message"]
        clock.now += 1
        adopter.scan()
        assert len(tries) == 2
    clock.now += RETRY_SECONDS
    assert adopter.scan().adopted == ["castle"]
    assert list(spool.layout.rejected.iterdir()) == [], "the record goes once the drop is adopted"


ODD_NAMES = [
    b"x" * 245 + b".json",
    b"x" * 250 + b".json",
    b"a\nb.json",
    b"\xff\xfe.json",
    b"-rf.json",
    b"X.JSON",
    b"a b;$(c)'\".json",
    "ä".encode() * 125 + b".json",
    b"%s%n.Json",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_adopted_and_refused_like_others(name: bytes, spool: Spool, adopter: Adopter) -> None:
    path = spool.layout.incoming / os.fsdecode(name)
    for content in (GOOD, b"[]"):
        path.write_bytes(content)
        adopter.scan()
        assert not path.exists()
    assert len(jobs_in(spool)) == 1
    kept = [entry for entry in spool.layout.rejected.iterdir() if not entry.name.endswith(".reason.json")]
    assert [entry.read_bytes() for entry in kept] == [b"[]"]
    record = json.loads(Path(f"{kept[0]}.reason.json").read_bytes())
    assert record["file"] == name.decode("utf-8", "backslashreplace")


# --- No room --------------------------------------------------------------------------------------


def test_the_pending_cap_leaves_the_rest_in_the_drop_zone(
    tmp_path: Path, validator: RequestValidator, new_job: Callable[..., Job]
) -> None:
    spool = Spool(Layout(tmp_path / "data"), max_pending=3)
    adopter = Adopter(spool, validator, QUIET)
    for number in range(5):
        name = f"job{number}"
        document = {"id": name, "model_id": "tiny", "prompt": "x"}
        path = spool.layout.incoming / f"{name}.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        wait_for_a_later_ctime(path)
    result = adopter.scan()
    assert result.adopted == ["job0", "job1", "job2"]
    assert result.waiting == 2
    assert result.next_check is not None
    (spool.layout.incoming / "job0.cancel").touch()
    assert adopter.scan().cancelled == ["job0"], "a full queue can still be relieved"
    assert adopter.scan().adopted == ["job3"]


def test_a_full_disk_leaves_the_drops_where_they_are(
    spool: Spool, adopter: Adopter, drop: Dropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop("x.json", NAMED)
    drop("y.json", b"[]")
    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_all", raises(OSError(errno.ENOSPC, "No space left on device")))
        result = adopter.scan()
        assert (result.adopted, result.refused, result.waiting) == ([], [], 2)
        assert result.next_check is not None
    result = adopter.scan()
    assert (result.adopted, result.refused) == (["castle"], ["y.json"])
    assert list(spool.layout.temporary.iterdir()) == []


def raises(error: Exception) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


def test_a_read_error_of_one_drop_does_not_hold_up_the_others(
    spool: Spool, adopter: Adopter, drop: Dropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop("x.json", NAMED)
    drop("y.json", GOOD)
    read = files.read_with_status

    def broken(path: Path, **options: Any) -> Any:
        if Path(path).name == "x.json":
            raise OSError(errno.EIO, "Input/output error")
        return read(path, **options)

    monkeypatch.setattr(files, "read_with_status", broken)
    assert len(adopter.scan().adopted) == 1


def test_a_scan_ends_after_its_budget_and_asks_to_be_called_again(
    spool: Spool, validator: RequestValidator, clock: Clock, drop: Dropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopter = Adopter(spool, validator, QUIET, monotonic=clock, budget_seconds=1.5)
    for number in range(6):
        drop(f"{number}.json", GOOD)
    submit = spool.submit_named

    def slow_submit(job: Job) -> None:
        clock.now += 1
        submit(job)

    monkeypatch.setattr(spool, "submit_named", slow_submit)
    sizes = []
    while True:
        result = adopter.scan()
        sizes.append(len(result.adopted))
        if result.next_check is None:
            break
        assert result.next_check == 0
    assert sizes == [2, 2, 2]


# --- Cancelling by a file -------------------------------------------------------------------------


def test_a_cancel_file_cancels_a_pending_job(spool: Spool, adopter: Adopter, drop: Dropper) -> None:
    drop("x.json", NAMED)
    adopter.scan()
    path = drop("castle.cancel", b"")
    assert adopter.scan().cancelled == ["castle"]
    assert spool.find("castle")[0] is State.CANCELLED
    assert not path.exists()


@pytest.mark.parametrize("name", ["nobody.cancel", ".cancel", "a b.cancel", "x" * 65 + ".cancel"])
def test_a_cancel_file_for_no_job_is_refused(name: str, spool: Spool, adopter: Adopter, drop: Dropper) -> None:
    drop(name, b"")
    adopter.scan()
    if not name.startswith("."):
        assert "No job has the id" in reason(spool, name)["message"]


# --- The folder itself ----------------------------------------------------------------------------


def test_a_removed_drop_zone_is_made_again(spool: Spool, adopter: Adopter, drop: Dropper) -> None:
    spool.layout.incoming.rmdir()
    assert adopter.scan().adopted == []
    drop("x.json", NAMED)
    assert adopter.scan().adopted == ["castle"]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode), st.sampled_from([GOOD, NAMED]))
)
def test_nothing_dropped_ever_vanishes(content: bytes, spool: Spool, adopter: Adopter, clock: Clock) -> None:
    """Whatever the bytes: a job was made, or the bytes are in `rejected/` with a reason."""
    before = {path.name for path in spool.layout.rejected.iterdir()}
    (spool.layout.incoming / "x.json").write_bytes(content)
    result = adopter.scan()
    if result.waiting:
        clock.now += QUIET
        result = adopter.scan()
    new = sorted({path.name for path in spool.layout.rejected.iterdir()} - before)
    if result.adopted:
        assert spool.exists(result.adopted[0])
        assert not new
    else:
        home, record = new
        assert (spool.layout.rejected / home).read_bytes() == content
        assert record == f"{home}.reason.json"
