"""Who may use the data directory: its own rights decide, never the umask; and what cannot work is said at start."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from core.errors import DataDirectoryError, StorageUnavailable
from core.layout import Layout
from core.locks import ExclusiveLock
from jobs.schema import Job, State
from jobs.spool import Spool
from outputs.store import ImageStore
from tests.conftest import REPOSITORY
from tests.indexes import data_at
from tests.unit.outputs.images import make_sidecar

NewJob = Callable[..., Job]

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="being two users needs root and setpriv"
)
#: A picture as it is stored, as far as its store looks at it.
PICTURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x00\x10\x00\x00\x00\x10"
#: No user and no group of this machine.
API, RUNNER, GROUP = 64_001, 64_002, 64_003


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def use_everything(data: Path) -> None:
    """Make one of everything that lies below a data directory."""
    spool = Spool(Layout(data))
    spool.prepare(create_anyway=True)
    indexed = data_at(data)
    indexed.jobs.repair()
    indexed.images.repair()
    spool.ring()
    ImageStore(spool.layout).commit(b"png", make_sidecar(spool.clock.issue(), "a castle", "demo"))
    indexed.inputs.use(indexed.inputs.put(PICTURE).id)
    indexed.inputs.sweep()
    lock = ExclusiveLock(spool.layout.lock("castle"))
    assert lock.acquire()
    lock.release()
    spool.path(State.PENDING, "x").touch(mode=0o600)  # by hand
    spool.path(State.PENDING, "x").unlink()


def modes(data: Path) -> dict[str, int]:
    """The mode of everything below a folder, by its path."""
    found = {}
    for path in [data, *data.rglob("*")]:
        with suppress(FileNotFoundError):  # SQLite removes its files beside an index when the last connection goes
            found[str(path.relative_to(data))] = stat.S_IMODE(path.lstat().st_mode)
    return {name: mode for name, mode in found.items() if not (data / name).is_symlink()}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_nobody_else_gets_in_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        use_everything(tmp_path / "data")
    for name, mode in modes(tmp_path / "data").items():
        is_folder = (tmp_path / "data" / name).is_dir()
        is_lock = name.endswith(".lock") or name == "spool/locks"
        expected = {0o700, 0o600} if is_lock else {0o750} if is_folder else {0o640}
        assert mode in expected, (name, oct(mode))


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_where_the_group_may_write_it_may_write_everywhere(tmp_path: Path, mask: int) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o2770)
    with umask(mask):
        use_everything(data)
    for name, mode in modes(data).items():
        assert mode == (0o2770 if (data / name).is_dir() else 0o660), (name, oct(mode))


def test_folders_that_an_earlier_version_left_open_are_closed(spool: Spool) -> None:
    for folder in (spool.layout.spool, spool.layout.cache, spool.layout.latent_maps):
        folder.chmod(0o755)
    theirs = spool.layout.data / "theirs"
    theirs.mkdir()
    theirs.chmod(0o755)
    spool.prepare()
    found = modes(spool.layout.data)
    assert [found[name] for name in ("spool", "cache", "previews", "theirs")] == [0o750, 0o750, 0o750, 0o755]


# --- Two users --------------------------------------------------------------------------------


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user reaches."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def run_as(user: int, code: str, *arguments: str) -> str:
    """What a program of another user prints; its group is GROUP, its umask that of most systems."""
    command = ["setpriv", f"--reuid={user}", f"--regid={user}", f"--groups={GROUP}", sys.executable, "-B", "-c", code]
    done = subprocess.run(
        [*command, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120, umask=0o022
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


#: Submits, as the API does; the job's file is given.
_SUBMIT = """
import sys; from pathlib import Path; import msgspec
from core.settings import Settings; from jobs.schema import Job; from service.data import open_data
data = open_data(Settings(data=Path(sys.argv[1])))
data.spool.prepare(); data.jobs.repair()
job = msgspec.json.decode(Path(sys.argv[2]).read_bytes(), type=Job)
order = data.spool.clock.issue()
data.spool.submit_named(job.evolve(id=sys.argv[3], order=order))
data.spool.cancel(sys.argv[4]) if len(sys.argv) > 4 else None
print(data.jobs.counts().pending)
"""
#: Claims and completes, as the runner does.
_WORK = """
import sys; from pathlib import Path
from core.settings import Settings; from jobs.claims import claim, recover_all; from jobs.leftovers import sweep
from service.data import open_data
data = open_data(Settings(data=Path(sys.argv[1])))
data.spool.prepare(); sweep(data.spool); data.spool.clock.issue(); data.spool.ring()
held = claim(data.spool, sys.argv[2]); held.warn("seen"); held.complete()
print(data.jobs.counts().completed)
"""
_PREPARE = """
import sys; from pathlib import Path
from core.errors import DataDirectoryError; from core.layout import Layout; from jobs.spool import Spool
try:
    Spool(Layout(Path(sys.argv[1]))).prepare()
except DataDirectoryError as error:
    print(error)
"""


@pytest.fixture
def job_file(shared: Path, new_job: NewJob) -> Path:
    path = shared / "job.json"
    path.write_text(json.dumps(json.loads((REPOSITORY / "tests" / "data" / "job_v1.json").read_bytes())))
    job = json.loads(path.read_bytes()) | {"outcome": None, "error": None, "attempts": 0, "boot_id": None}
    path.write_text(json.dumps(job | {"started_at": None, "completed_at": None}))
    path.chmod(0o644)
    return path


@needs_root
def test_two_users_of_one_group_work_on_one_data_directory(shared: Path, job_file: Path) -> None:
    data = shared / "data"
    data.mkdir()
    os.chown(data, API, GROUP)
    data.chmod(0o770)  # without setgid, which we set on the folders below
    Spool(Layout(data)).prepare(create_anyway=True)
    for path in [data, *data.rglob("*")]:
        os.chown(path, API, GROUP)
    for number in range(1, 3):
        assert run_as(API, _SUBMIT, str(data), str(job_file), f"job{number}") == "1"
        assert run_as(RUNNER, _WORK, str(data), f"job{number}") == str(number)
    run_as(RUNNER, _SUBMIT, str(data), str(job_file), "theirs")
    assert run_as(API, _SUBMIT, str(data), str(job_file), "ours", "theirs") == "1"
    spool = Spool(Layout(data))
    assert spool.find("theirs")[0] is State.CANCELLED


@needs_root
@pytest.mark.parametrize("place", ["spool/tmp", "spool/locks", "spool/order", "spool/locks/castle.lock", ".cyberimage"])
def test_what_another_user_cannot_use_is_said_at_start(shared: Path, place: str) -> None:
    data = shared / "data"
    data.mkdir()
    data.chmod(0o2770)
    os.chown(data, API, GROUP)
    spool = Spool(Layout(data))
    spool.prepare(create_anyway=True)
    spool.clock.issue()
    (spool.layout.locks / "castle.lock").touch()
    for path in [data, *data.rglob("*")]:
        os.chown(path, API, GROUP)
        path.chmod(0o2770 if path.is_dir() else 0o660)
    assert run_as(RUNNER, _PREPARE, str(data)) == ""
    odd = data / place
    odd.chmod(0o700 if odd.is_dir() else 0o600)
    said = run_as(RUNNER, _PREPARE, str(data))
    assert str(odd) in said
    assert "Traceback" not in said
    assert "\n" not in said


# --- While it runs ----------------------------------------------------------------------------


def test_a_folder_that_may_not_be_used_is_a_fault_of_the_storage(
    spool: Spool, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(spool.layout.spool))

    job = new_job()
    monkeypatch.setattr("core.files._open_draft", refuse)
    with pytest.raises(StorageUnavailable, match=r"^The job was not accepted: Permission denied\.$"):
        spool.submit(job)


def test_a_data_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirectoryError, match=r"CYBERIMAGE_DATA is .*which cannot be used"):
        Spool(Layout(tmp_path / "file" / "data")).prepare()
