"""The data directory: made once, marked as ours, and never begun anew on an unmounted volume."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

from core import files
from core.errors import DataDirectoryError
from core.layout import MARKER, Layout

#: `rename` of a directory says these where the target is in use.
_TAKEN: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST})


def prepare(layout: Layout, folders: Sequence[Path], *, create_anyway: bool = False) -> None:
    """Make the data directory and the `folders` in it, where they are missing.

    Both programs may do this at the same moment. Raises DataDirectoryError where the directory exists
    without our sentinel file: most likely a volume that is not mounted, and a fresh spool there would
    hide the real one.
    """
    data = layout.data
    if not data.exists():
        _make_marked(data)
    elif not layout.marker.exists():
        if not create_anyway:
            raise DataDirectoryError(
                f"{data} exists but holds no {MARKER} file: perhaps its volume is not mounted. "
                "To begin a new data directory there, set CYBERIMAGE_CREATE_DATA=on once."
            )
        _mark(data)
    for folder in folders:
        folder.mkdir(mode=files.DIRECTORY_MODE, parents=True, exist_ok=True)


def missing(layout: Layout, folders: Sequence[Path]) -> Path | None:
    """What a running program misses of its data directory, the mark or one of the `folders`; None if all is there.

    So "there is no such file" can be told from "there is no such disk": a volume may be unmounted at any time.
    """
    return next((path for path in (layout.marker, *folders) if _is_missing(path)), None)


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # it cannot be looked at, which is another trouble
        return False
    return False


def _make_marked(data: Path) -> None:
    """Make the directory with its sentinel in it, in one step: nobody ever sees it without."""
    data.parent.mkdir(parents=True, exist_ok=True)
    draft = data.with_name(f".{data.name}-{uuid4().hex}")
    draft.mkdir(mode=files.DIRECTORY_MODE)
    try:
        _mark(draft)
        os.rename(draft, data)
        files.sync_directory(data.parent)
    except OSError as error:
        shutil.rmtree(draft)
        if error.errno not in _TAKEN:  # else another program was faster
            raise


def _mark(folder: Path) -> None:
    (folder / MARKER).write_text("This is a CyberImage data directory.\n", encoding="utf-8")
    files.sync_directory(folder)
