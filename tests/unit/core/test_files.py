"""Files are whole or absent, whatever the storage does and whoever looks."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import files


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder / "file"


def failing(name: str, when: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make the `when`th call of `os.<name>` fail with EIO; returns a list that holds the count of calls."""
    real: Callable[..., Any] = getattr(os, name)
    calls = [0]

    def call(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == when:
            raise OSError(errno.EIO, "Input/output error")
        return real(*arguments, **options)

    monkeypatch.setattr(os, name, call)
    return calls


@pytest.mark.parametrize(
    ("create", "name"),
    [
        *((files.create, name) for name in ("open", "write", "fsync", "link")),
        *((files.create_unique, name) for name in ("open", "write", "fsync", "rename")),
    ],
)
@pytest.mark.parametrize("when", [1, 2])
def test_a_failed_create_leaves_nothing(
    create: Callable[..., None], name: str, when: int, temporary: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        calls = failing(name, when, patch)
        try:
            create(target, b"new", temporary)
            happened = False
        except OSError:
            happened = True
    assert happened == (calls[0] >= when)
    assert target.exists() != happened
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", ["open", "write", "fsync", "rename"])
@pytest.mark.parametrize("when", [1, 2])
def test_a_failed_replace_leaves_the_old_or_the_new_bytes(
    name: str, when: int, temporary: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.write_bytes(b"old")
    with monkeypatch.context() as patch:
        failing(name, when, patch)
        try:
            files.replace(target, b"new", temporary)
        except OSError:
            pass
        else:
            assert target.read_bytes() == b"new"
    assert target.read_bytes() in (b"old", b"new")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("size", [1, 3])
def test_short_writes_are_completed(size: int, temporary: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:size]))
    files.create(target, b"abcdefgh" * 100, temporary)
    assert target.read_bytes() == b"abcdefgh" * 100


def test_create_never_replaces(temporary: Path, target: Path) -> None:
    target.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        files.create(target, b"new", temporary)
    assert target.read_bytes() == b"old"
    assert list(temporary.iterdir()) == []


def test_a_descriptor_is_never_synced_twice(temporary: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After EIO a second fsync of the same descriptor may succeed with the data gone."""
    synced: list[str] = []

    def fail(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        files.create(target, b"new", temporary)
    assert len(synced) == 1


def test_the_sweep_spares_the_drafts_of_living_writers(
    temporary: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary / "left-by-a-crash").write_bytes(b"x")
    seen: list[int] = []
    fsync = os.fsync

    def sweep_meanwhile(descriptor: int) -> None:
        if not seen:
            seen.append(files.sweep(temporary))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sweep_meanwhile)
    files.create(target, b"new", temporary)
    assert seen == [1]
    assert target.read_bytes() == b"new"


def test_a_draft_swept_at_its_birth_is_made_again(
    temporary: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    swept: list[bool] = []

    def sweep_first(descriptor: int, operation: int) -> None:
        if not swept:
            swept.append(True)
            assert files.sweep(temporary) == 1
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    files.create(target, b"new", temporary)
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd")])
def test_only_regular_files_are_read(make: Callable[[Path], None], target: Path) -> None:
    make(target)
    with pytest.raises(files.NotRegularFile):
        files.read(target)


def test_a_limit_is_checked_before_reading(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target.write_bytes(b"x" * 11)
    assert len(files.read(target, limit=11)) == 11
    monkeypatch.setattr(os, "read", pytest.fail)
    with pytest.raises(files.FileTooLarge):
        files.read(target, limit=10)
