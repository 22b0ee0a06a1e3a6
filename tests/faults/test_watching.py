"""File events that are lost, refused or look elsewhere: the scan finds every job all the same (reliability.md D)."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.table import record
from tests.programs import Program, processor_seconds, wait_until
from tests.runner_harness import RunnerHarness

#: The kernel keeps so many events for a reader that does not read.
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
#: What the limits count is the user of a namespace, so ours can be set without a change for anybody else.
LIMITED = 'echo {limit} > /proc/sys/user/{name} && exec "$@"'


def remake(folder: Path) -> None:
    folder.rmdir()
    folder.mkdir()


def rename_and_remake(folder: Path) -> None:
    folder.rename(folder.with_name("moved-away"))
    folder.mkdir()


def remove(folder: Path) -> None:
    folder.rmdir()
    wait_until(folder.exists, about="the folder to be made again")


@pytest.mark.parametrize("change", [remake, rename_and_remake, remove])
def test_a_drop_zone_that_was_replaced_is_seen_again(
    bare_harness: RunnerHarness, change: Callable[[Path], None]
) -> None:
    with bare_harness.stub_runner():
        bare_harness.drop("before")
        bare_harness.wait_for_adoption("before")
        wait_until(lambda: not os.listdir(bare_harness.spool.layout.incoming), about="the drop to be gone")
        change(bare_harness.spool.layout.incoming)
        bare_harness.drop("after")
        bare_harness.wait_for_adoption("after")
        bare_harness.drop("later")
        bare_harness.wait_for_adoption("later")
    record("D3 the drop zone renamed, remade or removed", 1)


def test_without_events_the_scan_finds_everything(bare_harness: RunnerHarness) -> None:
    with bare_harness.stub_runner(watch="off"):
        job = bare_harness.submit()
        bare_harness.drop("castle")
        bare_harness.wait_for_adoption("castle")
        assert bare_harness.wait_for(job).outcome == "completed"
    record("D4 D5 no file events at all", 2)


@contextmanager
def mounted(folder: Path) -> Iterator[None]:
    """An empty file system over a folder; skips the test where this machine cannot mount one."""
    done = subprocess.run(["mount", "-t", "tmpfs", "none", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_drop_zone_that_was_mounted_over_is_seen(bare_harness: RunnerHarness) -> None:
    with bare_harness.stub_runner():
        bare_harness.drop("before")
        bare_harness.wait_for_adoption("before")
        with mounted(bare_harness.spool.layout.incoming):
            bare_harness.drop("above")
            bare_harness.wait_for_adoption("above")
            (bare_harness.spool.layout.incoming / "bad.json").write_text('{"prompt": 1}', encoding="utf-8")
            wait_until((bare_harness.spool.layout.rejected / "bad.json.reason.json").exists, about="the refusal")
        bare_harness.drop("below")
        bare_harness.wait_for_adoption("below")
    record("D3 another file system mounted over the drop zone, and taken away", 3)


def test_lost_events_lose_no_drop(bare_harness: RunnerHarness) -> None:
    limit = int(QUEUE.read_text(encoding="ascii"))
    with bare_harness.stub_runner() as runner:
        bare_harness.drop("before")
        bare_harness.wait_for_adoption("before")
        os.kill(runner.pid, signal.SIGSTOP)
        flood(bare_harness.spool.layout.incoming, limit + 1000)
        bare_harness.drop("unheard")
        os.kill(runner.pid, signal.SIGCONT)
        bare_harness.wait_for_adoption("unheard")
        bare_harness.drop("after")
        bare_harness.wait_for_adoption("after")
    record("D1 more events than the kernel keeps", 3)


def flood(folder: Path, events: int) -> None:
    """So many events, of two files that concern nobody; equal ones in a row would count as one."""
    paths = [folder / ".first", folder / ".second"]
    for number in range(events // 2 + 1):
        os.close(os.open(paths[number % 2], os.O_WRONLY | os.O_CREAT))  # opened, closed


def limited(runner: Program, name: str, limit: int) -> Program:
    """The runner in a user namespace of its own, with one of its limits set."""
    shell = ["sh", "-c", LIMITED.format(limit=limit, name=name), "sh", *runner.command]
    runner.command = ["unshare", "--user", "--map-root-user", *shell]
    probe = ["unshare", "--user", "--map-root-user", "sh", "-c", f"echo {limit} > /proc/sys/user/{name}"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no user namespace can be limited here: {done.stderr.strip()}")
    return runner


@pytest.mark.parametrize("name", ["max_inotify_instances", "max_inotify_watches"])
def test_without_watches_left_the_runner_scans(bare_harness: RunnerHarness, name: str) -> None:
    job = bare_harness.submit()
    with limited(bare_harness.stub_runner(), name, 0) as runner:
        assert bare_harness.wait_for(job).outcome == "completed"
        bare_harness.drop("castle")
        bare_harness.wait_for_adoption("castle")
        bare_harness.drop("second")
        bare_harness.wait_for_adoption("second")
        assert len(open_besides_indexes(runner.pid)) < 20, "each scan tries again, and leaves nothing open"
    assert runner.output().count("jobs are found by scanning alone") == 1
    record("D4 no inotify watches or instances left", 3)


def open_besides_indexes(pid: int) -> list[str]:
    """What a process has open, without its idle connections to the indexes."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            links.append(str(descriptor.readlink()))
    return [link for link in links if ".sqlite3" not in link]


def test_a_runner_at_rest_needs_no_processor(bare_harness: RunnerHarness) -> None:
    """Own reads must not ring the bell: that would be a scan for each scan."""
    with bare_harness.stub_runner(scan_seconds=2) as runner:
        bare_harness.drop("castle")
        bare_harness.wait_for_adoption("castle")
        bare_harness.wait_for_status(lambda status: status.state == "idle" and status.job_id is None, "rest")
        before = processor_seconds(runner.pid)
        time.sleep(6)  # three scans
        used = processor_seconds(runner.pid) - before
    record("D6 a runner at rest", 1, [f"{used:.2f} s of processor time in 6 s"] if used > 0.3 else [])
