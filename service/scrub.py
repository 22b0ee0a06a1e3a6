"""Compares all images with their checksums, a little at a time, and removes files that never got a sidecar.

A pass begins once a week. Any number of processes may call `turn` as often as they like; one at a time works, and at
most once in `INTERVAL`. A turn costs at most some 40 ms of a processor (1 %) and 32 MB of reading (8 MB/s), which is
3 TB a week; where that is not enough, a pass takes longer. How far it is stands in a small file, which may be deleted:
then a pass begins at the first image.
"""

from __future__ import annotations

import logging
import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from core import files, locks
from core.errors import CyberImageError
from core.layout import Layout
from jobs.ids import image_order, is_image_id
from jobs.schema import State, encode
from outputs import orphans
from outputs.damage import DamageMarks
from outputs.errors import DamagedImage, ImageNotFound
from outputs.index.image_index import days_below
from service.data import Data

logger = logging.getLogger(__name__)

#: Seconds between two turns, over all processes, and between the beginnings of two passes.
INTERVAL: Final = 4.0
PERIOD: Final = 7 * 86400.0
#: What a turn may use: seconds of a processor, seconds, bytes.
_PROCESSOR_SECONDS: Final = 0.04
_SECONDS: Final = 0.4
_BYTES: Final = 32 << 20


class ScrubState(Struct, frozen=True, kw_only=True):
    """How far the present pass is, and how the one before ended. Times are seconds since the epoch."""

    began_at: float
    #: When somebody last worked on it.
    turn_at: float = 0.0
    #: The last image that was looked at: its day's folder, `YYYY/MM/DD`, and its id.
    folder: str = ""
    image_id: str = ""
    images: int = 0
    size_bytes: int = 0
    is_ended: bool = False
    #: When a pass last came to its end.
    last_end: float | None = None


_decode: Final = msgspec.json.Decoder(ScrubState).decode


@dataclass(frozen=True, kw_only=True)
class ScrubFigures:
    """What operators see: images that are damaged, as far as is known, and how far the present pass is."""

    damaged: int
    images: int = 0
    size_bytes: int = 0
    #: Seconds since the epoch; None before the first pass has ended.
    last_end: float | None = None


def figures(layout: Layout) -> ScrubFigures:
    """The figures of a data directory; reads one directory and one small file."""
    damaged = len(DamageMarks(layout.damaged, layout.temporary).ids())
    state = _read(layout.scrub_state)
    if state is None:
        return ScrubFigures(damaged=damaged)
    return ScrubFigures(damaged=damaged, images=state.images, size_bytes=state.size_bytes, last_end=state.last_end)


def _read(path: Path) -> ScrubState | None:
    """How far the pass is; None where that is not known."""
    try:
        return _decode(files.read(path))
    except (OSError, ValueError):
        return None


class Scrub:
    """The scrubbing of one data directory. `now` is the wall clock in seconds."""

    def __init__(self, data: Data, now: Callable[[], float] = time.time) -> None:
        self._data = data
        self._now = now
        self._path = data.layout.scrub_state
        self._lock_path = Path(f"{self._path}.lock")
        #: What is left of the pass as this process has listed it, and where the pass then was.
        self._images: Iterator[tuple[str, str]] = iter(())
        self._position: tuple[float, str, str] | None = None

    def turn(self) -> None:
        """Work for some milliseconds if it is time, and if no other process does. Raises OSError."""
        lock = locks.ExclusiveLock(self._lock_path)
        if not lock.acquire():
            return
        try:
            self._data.store.check_damaged()
            state = self._due()
            if state is not None:
                self._save(self._work(state, _Budget()))
        except BaseException:
            self._position = None  # what was listed may be used up
            raise
        finally:
            lock.release()

    def run(self) -> int:
        """A whole pass at once, whatever was done before; returns how many images are damaged. Raises OSError."""
        lock = locks.ExclusiveLock(self._lock_path)
        lock.acquire(timeout=-1)
        try:
            self._save(self._work(self._begin(_read(self._path)), None))
        finally:
            lock.release()
        return figures(self._data.layout).damaged

    def _due(self) -> ScrubState | None:
        """Where to go on; None if somebody has just worked, or if the next pass begins later."""
        state, now = _read(self._path), self._now()
        if state is None:
            return self._begin(None)
        if state.is_ended:  # a beginning that lies in the future is that of a clock that was set back
            return None if state.began_at <= now < state.began_at + PERIOD else self._begin(state)
        return None if 0 <= now - state.turn_at < INTERVAL / 2 else state

    def _begin(self, before: ScrubState | None) -> ScrubState:
        return ScrubState(began_at=self._now(), last_end=before.last_end if before else None)

    def _save(self, state: ScrubState) -> None:
        content = encode(msgspec.structs.replace(state, turn_at=self._now()))
        files.replace(self._path, content, self._data.layout.temporary, durable=False, name="scrub")

    def _work(self, state: ScrubState, budget: _Budget | None) -> ScrubState:
        """Look at the images that follow, as far as the budget goes."""
        for folder, image_id in self._following(state):
            size = self._check(image_id)
            state = msgspec.structs.replace(
                state,
                folder=folder,
                image_id=image_id,
                images=state.images + 1,
                size_bytes=state.size_bytes + size,
            )
            self._position = _position(state)
            if budget is not None and budget.is_spent(size):
                return state
        logger.info("All images were compared with their checksums.", extra={"images": state.images})
        return msgspec.structs.replace(state, is_ended=True, last_end=self._now())

    def _following(self, state: ScrubState) -> Iterator[tuple[str, str]]:
        """The images after those that were looked at; listed again only where another process went on meanwhile."""
        if self._position != _position(state):
            self._images = self._list(state.folder, state.image_id)
        return self._images

    def _list(self, folder: str, image_id: str) -> Iterator[tuple[str, str]]:
        for name, path in days_below(self._data.layout.outputs):
            if name < folder:
                continue
            names = _names(path)
            if name != folder:
                self._sweep(path, names)
            found = sorted(stem for stem, ending in map(os.path.splitext, names) if ending == ".json")
            for stem in found[bisect_right(found, image_id) if name == folder else 0 :]:
                if is_image_id(stem):
                    yield name, stem

    def _sweep(self, folder: Path, names: list[str]) -> None:
        removed = orphans.sweep(folder, names, self._is_being_drawn)
        if removed:
            logger.info("Files without a sidecar were removed.", extra={"folder": folder, "files": removed})

    def _is_being_drawn(self, image_id: str) -> bool:
        """Whether the job of an image is being worked on."""
        order = image_order(image_id)
        for job_id in self._data.spool.ids(State.PROCESSING):
            with suppress(FileNotFoundError, CyberImageError):
                if self._data.spool.read(State.PROCESSING, job_id).order == order:
                    return True
        return False

    def _check(self, image_id: str) -> int:
        """Compare one image; returns how many bytes were read."""
        try:
            return self._data.store.check(image_id)
        except (ImageNotFound, DamagedImage):  # deleted meanwhile; or the store has noted and logged it
            return 0
        except OSError as error:
            logger.warning("Image %s could not be compared with its checksum: %s", image_id, error)
            return 0


def _position(state: ScrubState) -> tuple[float, str, str]:
    return state.began_at, state.folder, state.image_id


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


class _Budget:
    """What one turn may use."""

    def __init__(self) -> None:
        self._processor_end = time.thread_time() + _PROCESSOR_SECONDS
        self._end = time.monotonic() + _SECONDS
        self._bytes = _BYTES

    def is_spent(self, size: int) -> bool:
        """Count `size` bytes more; returns whether the turn must end."""
        self._bytes -= size
        return self._bytes <= 0 or time.thread_time() >= self._processor_end or time.monotonic() >= self._end
