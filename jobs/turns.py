"""Whose turn it is: the order of acceptance, unless somebody moved a waiting job.

Jobs are sorted by *keys*. The key of a job is its order as 32 hexadecimal digits; one that was moved has another, in a
file `<job id>` in `spool/turns`, which stays until the job has ended. So nothing of the job's own file changes while it
waits, and moving never races its claim. A key may be of any length: it is a fraction, and there is always another one
between two of them, so no job has to be renumbered for another.

A key that is further ahead of the clock than orders may be belongs to a job that was accepted while the clock was
wrong, or before it was set back. Such jobs come first: see `jobs.pending`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from core import files
from jobs.ids import SKEW_SECONDS, is_job_id, order_at

#: Before a key: sorts before all others, whatever the clock says.
AHEAD: Final = "!"
#: The longest file that is read, in bytes; a key grows by a digit for every four moves to the same place.
_LONGEST: Final = 4096
_KEY: Final = re.compile(rb"!?[0-9a-f]+", re.ASCII)
#: The digits of a key that hold the milliseconds.
_TIME_DIGITS: Final = 12


def key_of(order: str) -> str:
    """The key of a job that was not moved."""
    return order.replace("-", "")


def limit_at(seconds: float) -> str:
    """Keys after this one are ahead of a clock that shows `seconds` since the epoch."""
    return key_of(order_at(seconds + SKEW_SECONDS))


def rank(key: str, limit: str) -> str:
    """What sorts jobs by their turns, for a clock with this `limit`."""
    return key if key <= limit else f"{AHEAD}{key}"


def between(low: str, high: str) -> str:
    """A short key between two others; `low` where there is none, as between equal ones."""
    digits = max(len(low), len(high)) + 1
    middle = (int(low.ljust(digits, "0"), 16) + int(high.ljust(digits, "0"), 16)) // 2
    text = f"{middle:0{digits}x}".rstrip("0")
    shorter = (text[:length] for length in range(1, len(text) + 1) if text[length - 1] != "0")
    return next((key for key in shorter if low < key < high), low)


def just_before(key: str) -> str:
    """A key before this one, by a millisecond: moving to the front again and again does not make keys longer."""
    time = int(key[:_TIME_DIGITS].ljust(_TIME_DIGITS, "0"), 16)
    return f"{time - 1:0{_TIME_DIGITS}x}" if time else between("0", key)


class Turns:
    """The keys of the jobs that were moved. Nearly always there are none, so that a listing costs next to nothing."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self._folder = folder
        self._temporary = temporary

    def put(self, job_id: str, key: str) -> None:
        """Give a job another key, durably. Raises OSError."""
        files.replace(self._folder / job_id, key.encode(), self._temporary, name="turn")

    def of(self, job_id: str) -> str | None:
        """The key that a job was given; None if it was not moved, or the file holds none."""
        try:
            content = files.read(f"{self._folder}/{job_id}", limit=_LONGEST)
        except (OSError, ValueError):
            return None
        return content.decode() if _KEY.fullmatch(content) else None

    def all(self) -> dict[str, str]:
        """The keys of all jobs that were moved."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return {}
        keys = ((name, self.of(name)) for name in names if is_job_id(name))
        return {name: key for name, key in keys if key is not None}

    def remove(self, job_id: str) -> None:
        """Forget where a job was moved to; not synced, since the next sweep would remove it again."""
        (self._folder / job_id).unlink(missing_ok=True)
