"""SIGKILL at every point of the protocol, alone and again during the recovery (reliability.md A1 to A17)."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from core import files
from core.failpoints import failpoint
from core.layout import Layout
from jobs.requests import RequestValidator
from jobs.schema import Job
from jobs.spool import Spool
from outputs.errors import ImageNotFound
from outputs.store import ImageStore
from tests.faults import scenario
from tests.faults.crashing import Prepare, nothing, run_life
from tests.faults.history import History, violations
from tests.faults.table import record

#: What the issue asks to be covered.
STEPS = ["submit", "adopt", "reject", "reason", "claim", "attempt", "progress", "image", "sidecar", "final", "requeue"]
STEPS += ["input.linked", "input.stored", "input.used", "input.swept", "adopt.picture_removed"]
STEPS += [
    "final.move",
    "cancel",
    "tombstone",
    "delete",
    "thumbnail",
    "recover",
    "rewrite",
    "pause",
    "resume",
    "turn",
    "annotate",
]


def fresh(folder: Path) -> Path:
    """A data directory with its drops."""
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    spool = Spool(Layout(data))
    spool.prepare()
    scenario.drop_files(spool)
    return data


def lives(
    folder: Path, scripted: RequestValidator, crashes: list[int], prepare: Prepare = nothing
) -> tuple[bool, list[str]]:
    """Crash at each of these points in turn, then run to the end; whether the last crash happened, and what broke."""
    data, history, found = fresh(folder), History(), []
    crashed = True
    for number, crash_at in enumerate(crashes):
        crashed = not run_life(data, scripted, history, crash_at=crash_at, prepare=prepare)
        found += [f"after {crashes[: number + 1]}: {text}" for text in violations(data, history, ended=not crashed)]
    if crashed:
        run_life(data, scripted, history)
        found += [f"after {crashes} and recovery: {text}" for text in violations(data, history, ended=True)]
    return crashed, found


def points_of(folder: Path, scripted: RequestValidator) -> list[str]:
    history = History()
    data = fresh(folder)
    assert run_life(data, scripted, history)
    assert violations(data, history, ended=True) == []
    return history.points


def test_an_undisturbed_life_passes_every_kind_of_point(fast_path: Path, scripted: RequestValidator) -> None:
    data, history = fresh(fast_path), History()
    run_life(data, scripted, history, crash_at=points_of(fast_path / "other", scripted).index("attempt.synced") + 1)
    run_life(data, scripted, history)
    names = {*points_of(fast_path / "other", scripted), *history.points}
    assert [step for step in STEPS if not any(name.startswith(step) for name in names)] == []


def test_a_kill_at_every_point_breaks_no_promise(fast_path: Path, scripted: RequestValidator) -> None:
    tries, found = 0, []
    while True:
        crashed, broken = lives(fast_path, scripted, [tries + 1])
        found += broken
        if not crashed:
            break
        tries += 1
    assert tries == len(points_of(fast_path, scripted))
    record("A1-A15 SIGKILL at point N, for every N", tries, found)


def test_a_second_kill_during_the_recovery_breaks_no_promise(fast_path: Path, scripted: RequestValidator) -> None:
    double_kills(fast_path, scripted, 40)


def test_attempts_that_were_counted_and_never_told_of_are_known(fast_path: Path, scripted: RequestValidator) -> None:
    """A kill may come between the count of an attempt and any word of it, and the next kill there again."""
    first = points_of(fast_path, scripted).index("attempt.synced") + 1
    data, history = fresh(fast_path), History()
    assert not run_life(data, scripted, history, crash_at=first)
    assert run_life(data, scripted, history)
    second = history.points.index("attempt.synced") + 1
    assert lives(fast_path, scripted, [first, second]) == (True, [])


@pytest.mark.long
def test_many_second_kills_break_no_promise(fast_path: Path, scripted: RequestValidator) -> None:
    double_kills(fast_path, scripted, 2000)


def double_kills(folder: Path, scripted: RequestValidator, tries: int) -> None:
    count = len(points_of(folder, scripted))
    dice = random.Random(5)
    found = []
    for _ in range(tries):
        crashes = [dice.randint(1, count), dice.randint(1, count)]
        found += lives(folder, scripted, crashes)[1]
    record("A16 SIGKILL at N, then at M while recovering", tries, found)


# --- The harness sees faults ----------------------------------------------------------------------


def write_in_place() -> None:
    """As a program that has not read reliability.md would."""

    def create(path: Path | str, content: bytes, temporary: Path, *, name: str = "file") -> None:
        if Path(path).exists():
            raise FileExistsError
        with Path(path).open("wb") as stream:
            stream.write(content[: len(content) // 2])
            stream.flush()
            failpoint(f"{name}.half")
            stream.write(content[len(content) // 2 :])

    files.create = files.create_unique = create


def forget_before_storing() -> None:
    """Remove a drop before its job is stored."""
    submit = Spool.submit_named

    def remove_first(self: Spool, job: Job) -> None:
        for name in scenario.DROPPED:
            (self.layout.incoming / name).unlink(missing_ok=True)
        submit(self, job)

    Spool.submit_named = remove_first  # type: ignore[method-assign]


def delete_without_a_tombstone() -> None:
    """Take what is not there for what was not drawn yet."""
    scenario.delete_image = lambda spool, store, image_id: store.delete(image_id)  # type: ignore[attr-defined]


def delete_without_a_record() -> None:
    """Remove the files of an image one by one, and leave nothing that says so."""

    def delete(self: ImageStore, image_id: str) -> None:
        for path in (self.sidecar_path(image_id), self.path(image_id), self.path(image_id).with_suffix(".webp")):
            if not files.unlink(path) and path.suffix == ".json":
                raise ImageNotFound(image_id)
            failpoint(f"delete{path.suffix}")

    ImageStore.delete = delete  # type: ignore[method-assign]


def test_the_harness_sees_what_an_interrupted_deletion_leaves(fast_path: Path, scripted: RequestValidator) -> None:
    data, found = fresh(fast_path), History()
    run_life(data, scripted, found, prepare=delete_without_a_record)
    for ending in (".json", ".png"):
        crash_at = found.points.index(f"delete{ending}") + 1
        assert lives(fast_path, scripted, [crash_at], delete_without_a_record)[1], ending


@pytest.mark.parametrize("sabotage", [write_in_place, forget_before_storing, delete_without_a_tombstone])
def test_the_harness_sees_a_broken_protocol(sabotage: Prepare, fast_path: Path, scripted: RequestValidator) -> None:
    assert any(violations_of(fast_path, scripted, crash_at, sabotage) for crash_at in range(60))


def violations_of(folder: Path, scripted: RequestValidator, crash_at: int, sabotage: Prepare) -> list[str]:
    data, history = fresh(folder), History()
    run_life(data, scripted, history, crash_at=crash_at, prepare=sabotage)
    return violations(data, history, ended=False)
