"""The data directory: made once, marked as ours, and never begun again on an unmounted volume."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from core import files, rights
from core.errors import DataDirectoryError
from core.layout import MARKER, Layout

logger = logging.getLogger(__name__)

#: The version of everything below the data directory. It grows when an older program could no longer work with what
#: this one writes. Directories made before there was a version are of the first one.
FORMAT: Final = 1
_FORMAT_LINE: Final = re.compile(r"^format:(.*)$", re.MULTILINE)

#: `rename` of a directory says these where the target is in use.
_TAKEN: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST})


def prepare(layout: Layout, folders: Sequence[Path], *, create_anyway: bool = False) -> None:
    """Make the data directory and the `folders` in it, where they are missing.

    Both programs may do this at the same moment. Raises DataDirectoryError where the directory exists
    without our sentinel file (most likely a volume that is not mounted, and a fresh spool there would
    hide the real one), and where a newer program made it.
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
    is_marked = _check_format(layout)
    make_folders(layout, folders)
    for folder in (layout.spool, layout.latent_maps, layout.cache):
        rights.close_to_others(folder)
    if not is_marked:
        files.replace(layout.marker, _marker_content(), layout.temporary, name="marker")


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


def make_folders(layout: Layout, folders: Sequence[Path]) -> None:
    """Make what is missing of a data directory that is there."""
    for folder in folders:
        rights.make_folder(folder)
    rights.make_folder(layout.locks, private=True)


def restore(layout: Layout, folders: Sequence[Path]) -> None:
    """Make what somebody removed while the programs run; raises DataDirectoryError where all is gone.

    Without its mark the directory is most likely a volume that is not mounted now, on which nothing must be made.
    """
    if not layout.marker.exists():
        raise DataDirectoryError(f"{layout.data} is gone, or its volume is not mounted: it holds no {MARKER} file.")
    missing = [folder for folder in (*folders, layout.locks) if not folder.is_dir()]
    if missing:
        logger.warning(
            "Folders of the data directory were removed and are made again: %s", ", ".join(map(str, missing))
        )
        make_folders(layout, folders)


def check_access(layout: Layout, folders: Sequence[Path], jobs: Sequence[Path]) -> None:
    """Raise DataDirectoryError where this process may not use what other programs made."""
    written = [layout.order, layout.doorbell, layout.job_index, layout.image_index, *layout.locks.iterdir()]
    fault = rights.first_fault([layout.data, *folders, layout.locks], written, [layout.marker, *jobs])
    if fault is not None:
        raise DataDirectoryError(
            f"{fault} Run the API and the runner as one user, or as users of one group to which {layout.data} belongs: "
            f"chgrp -R GROUP, chmod -R g+rwX, and chmod g+s for its folders."
        )


def unusable(layout: Layout, error: OSError) -> DataDirectoryError:
    """What a refused system call means for the operator."""
    where = error.filename or layout.data
    return DataDirectoryError(
        f"CYBERIMAGE_DATA is {str(layout.data)!r}, which cannot be used: {where}: {error.strerror}."
    )


def _make_marked(data: Path) -> None:
    """Make the directory with its sentinel in it, in one step: nobody ever sees it without."""
    data.parent.mkdir(parents=True, exist_ok=True)
    draft = data.with_name(f".{data.name}-{uuid4().hex}")
    draft.mkdir(mode=0o700)
    draft.chmod(0o750)
    try:
        _mark(draft)
        os.rename(draft, data)
        files.sync_directory(data.parent)
    except OSError as error:
        shutil.rmtree(draft)
        if error.errno not in _TAKEN:  # else another program was faster
            raise


def _mark(folder: Path) -> None:
    layout = Layout(folder)
    rights.make_folder(layout.spool)
    rights.make_folder(layout.temporary)
    with suppress(FileExistsError):  # another program was faster
        files.create(layout.marker, _marker_content(), layout.temporary, name="marker")


def _marker_content() -> bytes:
    return f"This is a CyberImage data directory.\nformat: {FORMAT}\n".encode()


def _check_format(layout: Layout) -> bool:
    """Whether the marker names the format; raises DataDirectoryError for a format that this program does not know."""
    found = _FORMAT_LINE.search(layout.marker.read_text(encoding="utf-8", errors="replace"))
    if found is None:
        return False
    text = found[1].strip()
    if text.isascii() and text.isdecimal() and int(text) <= FORMAT:
        return True
    raise DataDirectoryError(
        f"{layout.data} has the format {text!r}, and this version of CyberImage knows formats up to {FORMAT}: "
        "a newer version made or changed it. Update this installation, or use another data directory."
    )
