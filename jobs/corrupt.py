"""The folder `corrupt/`: files that lay in the place of a job and can be none, each beside a record that says why.

They are set aside so that they hinder nothing, and kept since somebody may be able to tell what they were.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from core.layout import Layout
from jobs.drops.rejected import RejectedFolder

logger = logging.getLogger(__name__)


def keep_corrupt(layout: Layout, path: Path, reason: str) -> None:
    """Move a file that can be no job to `corrupt/`, with the reason. The caller holds the job's lock.

    May be killed at any point and called again. Raises OSError.
    """
    status = os.lstat(path)
    folder = RejectedFolder(layout.corrupt, layout.temporary)
    is_folder = stat.S_ISDIR(status.st_mode)
    if folder.take_directory(path, reason) if is_folder else folder.take(path, status, reason):
        logger.error("%s It was moved to the folder %s of the spool.", reason, layout.corrupt.name)
