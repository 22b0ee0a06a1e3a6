"""Pictures that lie beside a dropped job and are named in it: waited for, read with it, and taken away with it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path

from core import files
from core.errors import InvalidRequest
from core.failpoints import failpoint
from core.strict_json import shown
from jobs.drops.rejected import remove_drop
from jobs.drops.zone import Drop, PerFileState
from jobs.pictures import (
    FIELDS,
    MOST_BYTES,
    FoundPictures,
    PictureTaker,
    Reference,
    UnreadablePicture,
    named,
    reference,
)
from jobs.schema import DroppedRequest, Job


class NotThereYet(Exception):
    """A picture is missing, or is still being written: look again within so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"in {seconds:g} seconds")
        self.seconds = seconds


class Beside:
    """The pictures beside the drops of a folder; for one thread. `quiet_seconds` is as for the drops."""

    def __init__(
        self, folder: Path, taker: PictureTaker | None, quiet_seconds: float, monotonic: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._taker = taker
        self._quiet_seconds = quiet_seconds
        self._monotonic = monotonic
        #: Since when a job waits for a picture that is not there.
        self._lonely: PerFileState[float] = PerFileState()
        #: Since when a picture that cannot be read has been as it is.
        self._growing: PerFileState[float] = PerFileState()
        #: The content of the files that were found last.
        self._contents: dict[str, bytes] = {}

    def keep_only(self, names: AbstractSet[str]) -> None:
        """Forget what is gone."""
        self._lonely.keep_only(names)
        self._growing.keep_only(names)

    def find(self, drop: Drop, request: DroppedRequest) -> FoundPictures:
        """The pictures that a dropped job names, wherever they are.

        Raises NotThereYet, InvalidRequest where the job is to be refused, and OSError.
        """
        if not any(named(request)):
            return FoundPictures()
        if self._taker is None:
            raise InvalidRequest("Pictures are not taken here.", "image")
        self._contents = {}
        for field, name in self._files(request):
            self._check(drop, field, name)
        try:
            return self._taker.find(request, self._read)
        except UnreadablePicture as error:
            name = getattr(request, error.field)
            if reference(error.field, name, is_drop=True) is not Reference.FILE:
                raise
            picture = self._look(name)
            if picture is None:
                raise NotThereYet(0) from error
            raise self._not_whole(picture, error) from error

    def hold(self, found: FoundPictures) -> None:
        """Store them; see PictureTaker."""
        if self._taker is not None and found.by_field:
            self._taker.hold(found)

    def remove(self, request: DroppedRequest, job: Job) -> None:
        """Remove the files that a job was made of, by this process or one that was killed; others stay."""
        for field, name in self._files(request):
            picture = self._look(name)
            if picture is not None and self._is_taken(field, name, picture, job):
                remove_drop(picture.path, picture.status)
                failpoint("adopt.picture_removed")
        self._contents = {}

    def refused(self, raw: bytes) -> list[Drop]:
        """The pictures that go to `rejected/` with a job, whatever is wrong with that."""
        names = sorted(_names_in(raw))
        return [picture for name in names if (picture := self._look(name)) is not None and picture.is_regular]

    def _files(self, request: DroppedRequest) -> list[tuple[str, str]]:
        return [pair for pair in named(request) if reference(*pair, is_drop=True) is Reference.FILE]

    def _check(self, drop: Drop, field: str, name: str) -> None:
        """Raise where a picture is not there, or was looked at as it is and is not whole."""
        picture = self._look(name)
        if picture is None:
            raise self._missing(drop, field, name)
        if not picture.is_regular:
            raise InvalidRequest(
                f"{field} is {shown(name)}, which is {picture.kind}; it must be a regular file.", field
            )
        since = self._growing.get(picture)
        if since is not None and (left := self._quiet_seconds - (self._monotonic() - since)) > 0:
            raise NotThereYet(left)

    def _missing(self, drop: Drop, field: str, name: str) -> Exception:
        since = self._lonely.get(drop)
        if since is None:
            since = self._monotonic()
            self._lonely.put(drop, since)
        left = self._quiet_seconds - (self._monotonic() - since)
        if left > 0:
            return NotThereYet(left)
        return InvalidRequest(
            f"{field} is {shown(name)}; no file of this name lay beside it within {self._quiet_seconds:g} seconds.",
            field,
        )

    def _not_whole(self, picture: Drop, error: UnreadablePicture) -> Exception:
        """What to raise for a picture that cannot be read: while it may still grow, that it is to be waited for."""
        since = self._growing.get(picture)
        if since is None:
            self._growing.put(picture, self._monotonic())
            return NotThereYet(self._quiet_seconds)
        return error

    def _read(self, name: str) -> bytes:
        try:
            self._contents[name] = files.read(self._folder / name, limit=MOST_BYTES)
        except FileNotFoundError as error:
            raise NotThereYet(0) from error
        except files.NotRegularFile as error:
            raise InvalidRequest(f"{shown(name)} is not a regular file.", "image") from error
        except files.FileTooLarge as error:
            raise InvalidRequest(f"The picture {shown(name)} is too large: {error}.", "image") from error
        return self._contents[name]

    def _look(self, name: str) -> Drop | None:
        path = self._folder / name
        try:
            return Drop(path, os.lstat(path))
        except OSError:  # not there, or a name that cannot be
            return None

    def _is_taken(self, field: str, name: str, picture: Drop, job: Job) -> bool:
        """Whether the file is what the job has; its writer may have gone on, or another one may have its name."""
        kept = getattr(job, field)
        try:
            content = files.read(picture.path, limit=MOST_BYTES)
            if name in self._contents:
                return content.startswith(self._contents[name])
            return self._taker is not None and kept is not None and self._taker.id_of(content) == kept.id
        except (FileNotFoundError, ValueError, InvalidRequest):
            return False


def _names_in(raw: bytes) -> set[str]:
    """The files that a dropped job names, whatever else is wrong with it."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return set()
    values = [document.get(field) for field in FIELDS] if isinstance(document, dict) else []
    return {value for value in values if isinstance(value, str) and _is_file(value)}


def _is_file(value: str) -> bool:
    try:
        return reference("image", value, is_drop=True) is Reference.FILE
    except InvalidRequest:
        return False
