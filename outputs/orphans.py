"""Files of images that have no sidecar and never get one: what a killed worker or a person left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from core import files
from jobs.ids import is_image_id
from outputs.store import COMPANIONS

#: A PNG precedes its sidecar by an instant, and a thumbnail may be stored while its image is deleted: so young files
#: are spared (seconds).
SPARED_SECONDS: Final = 600.0
_ENDINGS: Final = (".png", *COMPANIONS)


def sweep(folder: Path, names: Iterable[str], is_being_drawn: Callable[[str], bool]) -> int:
    """Remove the PNGs and thumbnails in a day's folder that have no sidecar; returns how many. Raises OSError.

    `names` are those in the folder. A worker that was stopped for longer than `SPARED_SECONDS` between PNG and sidecar
    may still go on, hence `is_being_drawn`, which is asked by image id.
    """
    known = set(names)
    removed = 0
    for name in sorted(known):
        image_id, ending = os.path.splitext(name)
        if ending in _ENDINGS and f"{image_id}.json" not in known and is_image_id(image_id):
            removed += not is_being_drawn(image_id) and _remove_old(folder / name)
    return removed


def _remove_old(path: Path) -> bool:
    """Remove a file unless it is young, or got its sidecar since its folder was listed."""
    try:
        is_young = path.stat().st_mtime > time.time() - SPARED_SECONDS
    except FileNotFoundError:
        return False
    return not is_young and not path.with_suffix(".json").exists() and files.unlink(path)
