"""The latest order issued, found in the job files, since the counter is not synced and may be old after a power cut.

The id of most jobs is their order, so that their names tell it without a file being read. But a dropped file
may bring any id, also one that looks like an order of another century. Up to the present that does no harm:
later orders sort after the present anyway. A name that is ahead of the clock decides nothing; the order in its
file does, as far ahead as orders are followed (SKEW_SECONDS).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from core import files
from jobs.ids import SKEW_SECONDS, OrderClock, is_order

logger = logging.getLogger(__name__)

#: So many files are read at most: a start must not take minutes because somebody chose a million odd ids.
MOST_READ: Final = 1000


class _Facts(Struct):
    order: str


_decode: Final = msgspec.json.Decoder(_Facts).decode


def latest_order(folders: Iterable[str], clock: OrderClock) -> str | None:
    """The latest order of the job files in `folders`, at most a little ahead of the clock; None if there is none."""
    now, limit = clock.bound(), clock.bound(SKEW_SECONDS)
    latest, ahead = _scan(folders, f"{now}.json")
    for path in ahead:
        latest = max(latest, min(_order_in(path), limit))
        if latest == limit:
            break
    return latest or None


def _scan(folders: Iterable[str], now: str) -> tuple[str, list[str]]:
    """The latest order among the names up to `now`, and the paths of files whose names are ahead of it."""
    latest = ""
    ahead: list[str] = []
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in entries:
                # Compared first: every start comes here, and few of a million names are greater than all before.
                if entry.name > latest and entry.name.endswith(".json") and is_order(entry.name[:-5]):
                    if entry.name <= now:
                        latest = entry.name
                    elif len(ahead) < MOST_READ:
                        ahead.append(entry.path)
    return latest[:-5], ahead


def _order_in(path: str) -> str:
    """The order of a job; empty if the file is gone, or cannot be read and so tells none."""
    try:
        order = _decode(files.read(path)).order
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        logger.warning("The order of the job in %s is not known: %s", path, error)
        return ""
    return order if is_order(order) else ""
