"""A data directory on a disk that fills up or turns read-only, under the real API (reliability.md B1, B4)."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from core.layout import Layout
from jobs.schema import State
from jobs.spool import Spool
from tests.faults.hostile import BODY, connect, environment
from tests.faults.power import disk
from tests.faults.table import record
from tests.programs import ApiProcess, api, children_of, wait_until
from tests.runner_harness import RunnerHarness


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory, to be the data directory, that is easily filled; skips where it cannot be mounted."""
    mount = tmp_path / "data"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m,nr_inodes=300", "none", str(mount)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


def fill_bytes(mount: Path) -> list[Path]:
    """Use up all space."""
    filler = mount / "filler"
    with filler.open("wb") as stream:
        size = os.statvfs(mount).f_bavail * os.statvfs(mount).f_frsize
        os.posix_fallocate(stream.fileno(), 0, size)
    return [filler]


def fill_inodes(mount: Path) -> list[Path]:
    """Use up all inodes."""
    fillers: list[Path] = []
    while os.statvfs(mount).f_favail:
        fillers.append(mount / f"filler-{len(fillers)}")
        fillers[-1].touch()
    return fillers


def check_refusal(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["status"] == "error"


def is_storage_ready(server: ApiProcess) -> bool:
    """What readiness says of the storage, now that an older finding is no longer good enough."""
    time.sleep(1.0)
    answer = server.client.get(f"{server.base}/health/ready")
    assert answer.status_code == 503  # without a runner in any case
    return bool(answer.json()["checks"]["storage"]["ok"])


def test_a_full_disk_refuses_jobs_and_answers_all_else(small_disk: Path, tmp_path: Path) -> None:
    tries = 0
    with api(small_disk, environment(tmp_path, create_data="on")) as server:
        first = server.post("/generate", json=BODY).json()["job_id"]
        for fill in (fill_bytes, fill_inodes):
            fillers = fill(small_disk)
            for _ in range(5):
                check_refusal(server.post("/generate", json=BODY))
                assert server.get(f"/status/{first}").status_code == 200
                assert server.get("/queue").status_code == 200
                assert server.get("/gallery").status_code == 200
                assert not is_storage_ready(server)
                tries += 1
            for path in fillers:
                path.unlink()
            assert server.post("/generate", json=BODY).status_code == 200
            assert is_storage_ready(server)
    spool = Spool(Layout(small_disk))
    assert len(list(spool.ids(State.PENDING))) == 3
    assert list(spool.layout.temporary.iterdir()) == []
    record("B1 no space, no inodes: POST /generate", tries)


def test_a_disk_that_turned_read_only_refuses_jobs_and_serves_the_rest(tmp_path: Path) -> None:
    """As ext4 does after an error: with files open for writing."""
    with disk() as broken, api(broken.mount_point, environment(tmp_path, create_data="on")) as server:
        first = server.post("/generate", json=BODY).json()["job_id"]
        command = ["mount", "-o", "remount,abort", str(broken.mount_point)]
        subprocess.run(command, check=False, capture_output=True)
        wait_until(lambda: _is_read_only(broken.mount_point), about="the disk to be read-only")
        for _ in range(5):
            check_refusal(server.post("/generate", json=BODY))
            for path in (f"/status/{first}", "/models", "/queue", "/gallery"):
                answer = server.get(path)
                assert answer.status_code == 200, (path, answer.text)
        ready = server.client.get(f"{server.base}/health/ready")
        assert (ready.status_code, ready.json()["checks"]["storage"]["ok"]) == (503, False)
    record("B4 a read-only file system", 25)


def test_a_runner_waits_while_the_disk_is_nearly_full_and_goes_on_by_itself(small_disk: Path, tmp_path: Path) -> None:
    harness = RunnerHarness.bare(tmp_path)
    assert harness.data == small_disk
    filler = small_disk / "filler"
    with harness.stub_runner(reserve_mb=3):
        assert harness.wait_for(harness.submit()).outcome == "completed"
        filler.write_bytes(b"x" * (4 << 20))
        job = harness.submit()
        harness.wait_for_status(lambda status: status.state == "paused" and "disk" in (status.message or ""), "a pause")
        assert (harness.state(job), harness.stored(job).attempts) == (State.PENDING, 0)
        filler.unlink()
        done = harness.wait_for(job)
    assert (done.outcome, done.attempts) == ("completed", 1)
    record("B2 less free space than the reserve: the runner waits, then goes on", 1)


def _is_read_only(folder: Path) -> bool:
    try:
        (folder / "probe").touch()
    except OSError:
        return True
    (folder / "probe").unlink()
    return False


def test_no_descriptors_left_is_survived(tmp_path: Path) -> None:
    with api(tmp_path / "data", environment(tmp_path)) as server, ExitStack() as stack:
        (worker,) = children_of(server.pid)
        used = len(os.listdir(f"/proc/{worker}/fd"))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 12, used + 12))
        for _ in range(40):
            stack.enter_context(connect(server))
        stack.close()
        wait_until(lambda: _answers(server), about="the API to recover")
        assert children_of(server.pid) == [worker]
    record("B8 more clients than file descriptors", 40)


def _answers(server: ApiProcess) -> bool:
    try:
        return httpx.post(f"{server.base}/api/generate", json=BODY, timeout=10).status_code == 200
    except httpx.TransportError:
        return False
