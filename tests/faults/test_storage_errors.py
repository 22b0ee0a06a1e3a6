"""Errors of the storage: the Nth call fails, once or for good; never a lost acknowledgement, never a torn file."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any, Protocol

import pytest

from core import files
from jobs.requests import RequestValidator
from jobs.schema import State
from jobs.spool import Spool
from tests.faults.crashing import run_life
from tests.faults.history import History, violations
from tests.faults.table import record
from tests.faults.test_crash_points import fresh
from tests.programs import REPOSITORY

CALLS = ("open", "write", "fsync", "rename", "link", "unlink")
#: In turn: what broken, full and read-only disks answer.
ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS)
ROW = "B10 the Nth call of open/write/fsync/rename/link/unlink fails"


class _Count(Protocol):
    """A number that parent and child share."""

    value: int


def failing(name: str, when: int, number: int, *, for_good: bool, calls: _Count) -> Callable[[], None]:
    """A sabotage: the `when`th call of os.<name> fails with errno `number`; with `for_good` all later ones too.

    `calls` is shared with the child, and counts how many there were.
    """

    def prepare() -> None:
        real: Callable[..., Any] = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            calls.value += 1
            if calls.value == when or (for_good and calls.value > when):
                raise OSError(number, os.strerror(number))
            return real(*arguments, **options)

        if name == "write":  # the event_log of the test goes through os.write too
            files._write_all.__globals__["os"] = _OsWith(write=call)
        else:
            setattr(os, name, call)

    return prepare


class _OsWith:
    """The module `os` as one module sees it, with one function replaced."""

    def __init__(self, **functions: Any) -> None:
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def fail_once(folder: Path, scripted: RequestValidator, name: str, when: int, for_good: bool) -> tuple[bool, list[str]]:
    """A run with a failing call, then one without; whether it came to that call, and what broke."""
    data, history, calls = fresh(folder), History(), RawValue("i")
    number = ERRORS[when % len(ERRORS)]
    sabotage = failing(name, when, number, for_good=for_good, calls=calls)
    run_life(data, scripted, history, prepare=sabotage, may_fail=True)
    found = violations(data, history, ended=False)
    run_life(data, scripted, history)
    found += violations(data, history, ended=True)
    how = "for good" if for_good else "once"
    return calls.value >= when, [
        f"{name} fails {how} at call {when} with {errno.errorcode[number]}: {text}" for text in found
    ]


@pytest.mark.parametrize("name", CALLS)
def test_a_failing_call_breaks_no_promise(name: str, fast_path: Path, scripted: RequestValidator) -> None:
    places = [1, 2, 3, 5, 9, 14, 25]
    found = [text for when in places for text in fail_once(fast_path, scripted, name, when, when % 2 == 0)[1]]
    record(ROW, len(places), found)


@pytest.mark.long
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for_good"])
def test_every_failing_call_breaks_no_promise(
    name: str, for_good: bool, fast_path: Path, scripted: RequestValidator
) -> None:
    """The Nth call for N = 1, 2, ... until a life has no more calls than that."""
    all_found = []
    for when in itertools.count(1):
        reached, found = fail_once(fast_path, scripted, name, when, for_good)
        all_found += found
        if not reached:
            break
    record(ROW, when, all_found)


# --- The kernel says no ---------------------------------------------------------------------------

SUBMIT = """
import sys
from pathlib import Path
from core.errors import StorageUnavailable
from core.layout import Layout
from jobs.spool import Spool
from tests.faults import scenario
spool = Spool(Layout(Path(sys.argv[1])))
validator = scenario.validator(Path(sys.argv[2]))
request = validator.generate(b'{"model_id": "tiny", "prompt": "x"}')
order = spool.clock.issue()
try:
    getattr(spool, sys.argv[3])(validator.job(request, job_id=order, order=order, source="http"))
except StorageUnavailable as error:
    print("refused", error)
else:
    print("accepted", order)
"""
#: The program's own calls, counted: its first write and first fsync concern the draft, the second fsync `pending/`.
INJECTIONS = [
    ("submit", "write:error=ENOSPC:when=1"),
    ("submit", "write:error=EIO:when=1"),
    ("submit", "fsync:error=EIO:when=1"),
    ("submit", "fsync:error=EIO:when=2"),
    ("submit", "fsync:error=EIO:when=2+"),
    ("submit", "rename:error=EROFS:when=1"),
    ("submit", "rename:error=ENOSPC:when=1"),
    ("submit_named", "link:error=EROFS:when=1"),
    ("submit_named", "link:error=ENOSPC:when=1"),
    ("submit_named", "unlink:error=EROFS:when=1+"),
]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(("way", "injection"), INJECTIONS)
def test_a_submit_that_the_kernel_refuses_leaves_nothing(
    way: str, injection: str, spool: Spool, tmp_path: Path
) -> None:
    traced = injection.partition(":")[0]
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={traced}", "-e", f"inject={injection}"]
    program = [sys.executable, "-c", SUBMIT, str(spool.layout.data), str(tmp_path / "models"), way]
    result = subprocess.run(
        [*command, *program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    if "ptrace" in result.stderr:
        pytest.skip(f"strace may not trace here: {result.stderr.strip()}")
    assert result.returncode == 0, result.stderr
    pending = list(spool.ids(State.PENDING))
    accepted = result.stdout.startswith("accepted")
    assert accepted == injection.startswith("unlink"), result.stdout
    assert pending == (result.stdout.split()[1:] if accepted else [])
    assert files.sweep(spool.layout.temporary) == int(accepted)
    record("B1-B7 strace: ENOSPC, EIO, EROFS, EMFILE, short writes on submit", 1)
