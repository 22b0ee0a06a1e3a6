"""Who may use what is below the data directory. Its own rights for its group decide; there is no setting.

Where the group may not write into the data directory, everything in it is the owner's: files 0640, folders 0750.
Where the group may, as an operator arranges it who runs the API and the runner as two users with a common group,
files are 0660 and folders 2770, so that what one program makes the other can use. The umask decides nothing.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_FILE: Final = 0o640
_SHARED_FILE: Final = 0o660
_FOLDER: Final = 0o750
_PRIVATE_FOLDER: Final = 0o700
_SHARED_FOLDER: Final = 0o2770
_OTHERS: Final = stat.S_IRWXO


def is_shared(folder: Path | str) -> bool:
    """Whether the group may write into a folder."""
    return bool(os.stat(folder).st_mode & stat.S_IWGRP)


def file_mode(folder: Path | str) -> int:
    """The mode of a new file in a folder."""
    return _SHARED_FILE if is_shared(folder) else _FILE


def make_folder(path: Path, *, private: bool = False) -> None:
    """Make a folder where there is none, with the rights that its parent has for the group.

    One that is `private` is closed to a group that may not write.
    """
    status = os.stat(path.parent)
    mode = _SHARED_FOLDER if status.st_mode & stat.S_IWGRP else _PRIVATE_FOLDER if private else _FOLDER
    try:
        path.mkdir(mode)
    except FileExistsError:
        return
    if mode == _SHARED_FOLDER:
        with suppress(PermissionError):  # not a member of that group
            os.chown(path, -1, status.st_gid)
    path.chmod(mode)


def open_for_writing(path: Path | str, flags: int = os.O_WRONLY) -> int:
    """A descriptor of a small file that all programs write to; the file is made where there is none."""
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except FileNotFoundError:
        mode = file_mode(Path(path).parent)
        descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, mode)
        set_mode(descriptor, mode)
        return descriptor


def set_mode(descriptor: int, mode: int, status: os.stat_result | None = None) -> None:
    """Give a file that this process made its mode, which the umask may have cut."""
    status = status or os.fstat(descriptor)
    if stat.S_IMODE(status.st_mode) != mode:
        with suppress(PermissionError):  # another user made it just now, and does the same
            os.fchmod(descriptor, mode)


def close_to_others(folder: Path) -> None:
    """Take from a folder of ours what everybody on the machine may do with it; earlier versions left that open."""
    with suppress(FileNotFoundError, PermissionError):
        status = os.stat(folder)
        if status.st_uid == os.geteuid() and status.st_mode & _OTHERS:
            folder.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)


def first_fault(folders: Iterable[Path], written: Iterable[Path], read: Iterable[Path]) -> str | None:
    """What this process may not do, though it must; a sentence about the first such path, None if there is none."""
    for paths, rights, verb in (
        (folders, os.R_OK | os.W_OK | os.X_OK, "use the folder"),
        (written, os.R_OK | os.W_OK, "read and write"),
        (read, os.R_OK, "read"),
    ):
        for path in paths:
            if not os.access(path, rights, effective_ids=True) and path.exists():
                return f"{_user()} may not {verb} {path}."
    return None


def _user() -> str:
    number = os.geteuid()
    try:
        return f"The user {pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return f"The user {number}"
