"""Whether a data directory lies on one file system, as it must: files are moved into place, never copied."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.errors import DataDirectoryError
from core.layout import Layout


def check(layout: Layout, folders: Iterable[Path]) -> None:
    """Raise DataDirectoryError if files cannot be moved between the drafts and any of these places.

    Those are the `folders`, the data directory, and the days' folders that there are below the outputs.
    """
    drafts = _mount_of(layout.temporary)
    for place in (layout.data, *folders, layout.latent_maps, *_below(layout.outputs, levels=3)):
        if _mount_of(place) not in (drafts, None):
            raise DataDirectoryError(
                f"{place} is on another file system, or another mount, than {layout.temporary}; the whole data "
                f"directory must be on one, since files are moved within it. Mount a volume at {layout.data} instead."
            )


def _below(folder: Path, levels: int) -> Iterator[Path]:
    """The numbered folders below a folder: years, months and days."""
    if not levels:
        return
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if name.isascii() and name.isdigit():
            yield folder / name
            yield from _below(folder / name, levels - 1)


def _mount_of(place: Path) -> tuple[int, str] | None:
    """File system and mount of a folder; None where there is none.

    The mount counts, too: the kernel moves nothing between two mounts of one file system, as containers have them.
    """
    try:
        descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return os.fstat(descriptor).st_dev, _mount_id(descriptor)
    finally:
        os.close(descriptor)


def _mount_id(descriptor: int) -> str:
    try:
        lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines()
    except OSError:  # no /proc; then the file system alone is compared
        return ""
    return next((line for line in lines if line.startswith("mnt_id:")), "")
