"""Ids: which names are legal, and the order of acceptance that they carry.

Every job has an *order*, a UUID in the version-7 layout (RFC 9562): 48 bits of milliseconds, 12 bits
of sub-millisecond, 62 random bits. Sorted orders are the order of acceptance, over all processes, as long as
the clock is not set back by more than SKEW_SECONDS. A job that came over HTTP uses its order as its id; a
dropped file may bring an id of its own. Image ids are built from the order, so the path of an image, which is
its date, follows from its id alone.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final
from uuid import UUID, uuid5

from core.locks import locked_counter

logger = logging.getLogger(__name__)

#: How far ahead of the clock orders may run, in seconds: so small steps back of the clock keep them growing. After a
#: larger one the date is more important than the order: new orders begin again from the clock.
SKEW_SECONDS: Final = 60.0
JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
ORDER: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
IMAGE_ID: Final = re.compile(r"img_[0-9a-f]{32}_[1-8]", re.ASCII)
#: The namespace of ids that are derived from a dropped file.
_DROP_NAMESPACE: Final = UUID("5d0c7d3e-6a0f-4b7e-9d52-1f6f3c0a8b11")
_TICKS_PER_MILLISECOND: Final = 4096
_MILLISECONDS_PER_DAY: Final = 86_400_000
_FIRST_DAY: Final = date(1970, 1, 1).toordinal()
_TICKS_PER_SECOND: Final = 1000 * _TICKS_PER_MILLISECOND


def is_job_id(text: str) -> bool:
    """Whether `text` may name a job, and so a file."""
    return JOB_ID.fullmatch(text) is not None


def is_image_id(text: str) -> bool:
    """Whether `text` may name an image, and so a file."""
    return IMAGE_ID.fullmatch(text) is not None


def is_order(text: str) -> bool:
    """Whether `text` is a UUID in the version-7 layout, written in the usual way."""
    return ORDER.fullmatch(text) is not None


class OrderClock:
    """Issues orders that grow, across processes, restarts and small steps of the clock.

    The last tick issued (1/4096 ms since the epoch) is kept in a small file under a lock. A counter that is
    ahead of the clock by more than SKEW_SECONDS is not followed: the clock was wrong once, or the file is
    damaged. `now` returns nanoseconds since the epoch.
    """

    def __init__(self, path: Path, now: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._now = now

    def issue(self) -> str:
        """The next order."""
        with locked_counter(self._path) as descriptor:
            tick = max(self._tick(), self._last_tick(descriptor) + 1)
            os.pwrite(descriptor, tick.to_bytes(8, "big"), 0)
        return _order_from_tick(tick)

    def _tick(self, seconds: float = 0.0) -> int:
        """The present, or `seconds` later."""
        return (self._now() + int(seconds * 1e9)) * _TICKS_PER_MILLISECOND // 1_000_000

    def _last_tick(self, descriptor: int) -> int:
        """The counter; 0 where it is too far ahead to be followed."""
        tick = int.from_bytes(os.pread(descriptor, 8, 0), "big")
        if tick <= self._tick(SKEW_SECONDS):
            return tick
        logger.warning(
            "The last order is %d s ahead of the clock, which was set back, or wrong before: orders begin again from "
            "the present.",
            (tick - self._tick()) // _TICKS_PER_SECOND,
        )
        return 0

    def bound(self, seconds: float = 0.0) -> str:
        """An order as one issued `seconds` from now would be; to compare with, never issued."""
        return _order_from_tick(self._tick(seconds))

    def never_before(self, order: str) -> None:
        """Make later orders sort after `order`; called at start, since the counter is not synced."""
        floor = _tick_of(order)
        with locked_counter(self._path) as descriptor:
            if self._last_tick(descriptor) < floor:
                os.pwrite(descriptor, floor.to_bytes(8, "big"), 0)


def order_at(seconds: float) -> str:
    """An order as one issued at this time (seconds since the epoch) would be; to compare with, never issued."""
    return _order_from_tick(int(seconds * _TICKS_PER_SECOND))


def _order_from_tick(tick: int) -> str:
    milliseconds, fraction = divmod(tick, _TICKS_PER_MILLISECOND)
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(UUID(int=value))


def _tick_of(order: str) -> int:
    value = UUID(order).int
    return (value >> 80) * _TICKS_PER_MILLISECOND + (value >> 64 & 0xFFF)


def accepted_at(order: str) -> datetime:
    """When the job with this order was accepted (UTC)."""
    return datetime.fromtimestamp((UUID(order).int >> 80) / 1000, UTC)


def image_id(order: str, number: int) -> str:
    """The id of image `number` (1..8) of the job with this order: fixed, so that a retry writes the same name."""
    return f"img_{order.replace('-', '')}_{number}"


def image_order(identifier: str) -> str:
    """The order of the job that an image id belongs to."""
    return str(UUID(identifier[4:36]))


def image_folder(identifier: str) -> str:
    """The folder of an image below the outputs: the UTC date of acceptance, `YYYY/MM/DD`.

    Raises ValueError for a date that no calendar has. Every look at an image passes here, so it is quick.
    """
    return day_folder(int(identifier[4:16], 16) // _MILLISECONDS_PER_DAY)


@lru_cache(maxsize=4096)
def day_folder(day: int) -> str:
    """The folder of a day since the epoch, `YYYY/MM/DD`; raises ValueError for a day that no calendar has."""
    return date.fromordinal(_FIRST_DAY + day).strftime("%Y/%m/%d")


def drop_id(name: bytes, status: os.stat_result, digest: str) -> str:
    """The id of one dropped file: the same drop always gives the same id, a new drop another one.

    The time of the last inode change is part of it, since a second copy of a file may get the inode
    number, and with `cp -p` also the modification time, of the first.
    """
    parts = (name.hex(), status.st_ino, status.st_mtime_ns, status.st_ctime_ns, digest)
    return str(uuid5(_DROP_NAMESPACE, ":".join(map(str, parts))))


def timestamp(moment: datetime | None = None) -> str:
    """RFC 3339 in UTC with milliseconds and `Z`; now, if no moment is given."""
    moment = moment or datetime.now(UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
