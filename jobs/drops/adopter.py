"""Dropped files: how what a user puts into `incoming/` becomes a job, is refused, or is left alone.

A drop is read, checked, stored as a job of ours, and only then removed. A drop that is not whole JSON
yet is waited for. Nothing here trusts an event or a wall clock: `scan` looks at the folder as it is.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable
from typing import Final

from core import files, strict_json
from core.errors import InvalidRequest, StorageUnavailable
from core.failpoints import failpoint
from jobs.drops.beside import Beside, NotThereYet
from jobs.drops.notes import Notes
from jobs.drops.rejected import RejectedFolder, remove_drop, shown_name
from jobs.drops.result import AdoptionResult
from jobs.drops.zone import CANCEL_SUFFIX, Drop, PerFileState, list_drops
from jobs.errors import CorruptJob, DuplicateJob, JobBusy, JobNotFound, QueueFull
from jobs.ids import drop_id, is_job_id
from jobs.pictures import FoundPictures, PictureTaker, named
from jobs.requests import RequestValidator
from jobs.schema import DroppedRequest, Job
from jobs.spool import Spool

logger = logging.getLogger(__name__)

#: Seconds after which a drop that could not be read or removed is tried again.
RETRY_SECONDS: Final = 60.0
#: Seconds after which a full queue or disk is tried again.
FULL_SECONDS: Final = 5.0
#: Seconds after which a drop is tried again whose id another process was using.
BUSY_SECONDS: Final = 1.0
#: Seconds that are longer than a tick of any file system's clock.
CLOCK_TICK: Final = 1.0


class Adopter:
    """Adopts the files of a spool's `incoming/`. For one thread; several processes may adopt at once.

    `quiet_seconds` is how long a file that does not parse must lie unchanged, by `monotonic`, to be
    refused, and how long a picture that a job names is waited for; `pictures` takes those in. A scan ends
    after about `budget_seconds`, so that thousands of drops do not hold the caller up.
    """

    def __init__(
        self,
        spool: Spool,
        validator: RequestValidator,
        quiet_seconds: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        budget_seconds: float = 1.0,
        pictures: PictureTaker | None = None,
    ) -> None:
        self._spool = spool
        self._validator = validator
        self._quiet_seconds = quiet_seconds
        self._monotonic = monotonic
        self._budget_seconds = budget_seconds
        self._rejected = RejectedFolder(spool.layout.rejected, spool.layout.temporary)
        self._beside = Beside(spool.layout.incoming, pictures, quiet_seconds, monotonic)
        #: Since when a file that does not parse has been as it is.
        self._growing: PerFileState[float] = PerFileState()
        #: When to try a file again that could not be read or removed.
        self._postponed: PerFileState[float] = PerFileState()
        self._notes = Notes(self._rejected, quiet_seconds, monotonic)
        #: The marks of drops removed just now. A copy made in the same tick of the file system's clock
        #: may get the freed inode, and so look like the same drop.
        self._removed: dict[str, float] = {}
        self._full = False

    def scan(self) -> AdoptionResult:
        """Look at every drop once, the oldest first.

        Raises OSError only if `incoming/` cannot be listed, and DataDirectoryError if that is since all is gone.
        """
        result = AdoptionResult()
        drops = self._list()
        deadline = self._monotonic() + self._budget_seconds
        was_full, self._full = self._full, False
        for position, drop in enumerate(drops):
            if self._monotonic() > deadline:
                result.wait(0, count=len(drops) - position)
                break
            self._visit_safely(drop, result)
        if was_full and not self._full:
            logger.info("There is room again: dropped files are taken in.")
        return result

    def _list(self) -> list[Drop]:
        try:
            drops = list_drops(self._spool.layout.incoming)
        except FileNotFoundError:
            self._spool.restore()
            drops = []
        names = {drop.name for drop in drops}
        for memory in (self._growing, self._postponed):
            memory.keep_only(names)
        self._notes.keep_only(names)
        self._beside.keep_only(names)
        return drops

    # --- One drop -----------------------------------------------------------------------------

    def _visit_safely(self, drop: Drop, result: AdoptionResult) -> None:
        """Visit one drop; whatever is wrong with it or the disk, the next one gets its turn."""
        try:
            self._visit(drop, result)
        except FileNotFoundError:
            return  # gone meanwhile
        except (QueueFull, StorageUnavailable) as error:
            self._wait_for_room(error, result)
        except OSError as error:
            if files.is_storage_error(error):
                self._wait_for_room(error, result)
            else:
                self._postpone(drop, error, result)

    def _visit(self, drop: Drop, result: AdoptionResult) -> None:
        if not drop.is_regular:
            self._notes.put(
                drop,
                f"This is {drop.kind}, not a regular file; it was left where it is. "
                "Copy, move or hard-link the job's file itself into this folder.",
            )
        elif not drop.is_offered:
            self._notes.leave_alone(drop)
        elif (seconds := (self._postponed.get(drop) or 0.0) - self._monotonic()) > 0:
            result.wait(seconds)
        elif drop.is_cancel_request:
            self._cancel(drop, result)
        elif self._full:
            result.wait(FULL_SECONDS)
        elif (seconds := self._quiet_left(drop)) > 0 and self._growing.get(drop) is not None:
            result.wait(seconds)
        else:
            self._read(drop, result)

    def _read(self, drop: Drop, result: AdoptionResult) -> None:
        try:
            raw, status = files.read_with_status(drop.path, limit=strict_json.SIZE_LIMIT)
        except files.NotRegularFile:
            return  # replaced since it was listed; the next scan sees what it is now
        except files.FileTooLarge as error:
            self._refuse(drop, InvalidRequest(f"The file is too large for a job: {error}."), result)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._postpone(drop, error, result)  # a bad sector under this file, not a full disk
        else:
            self._judge(Drop(drop.path, status), raw, result)

    def _judge(self, drop: Drop, raw: bytes, result: AdoptionResult) -> None:
        try:
            request = self._validator.dropped(raw)
        except InvalidRequest as error:
            if strict_json.is_incomplete(raw) and self._quiet_left(drop) > 0:
                if self._growing.get(drop) is None:
                    self._growing.put(drop, self._monotonic())
                result.wait(self._quiet_left(drop))
            else:
                self._refuse(drop, error, result, raw)
            return
        try:
            self._adopt(drop, raw, request, result)
        except NotThereYet as error:
            result.wait(error.seconds)
        except InvalidRequest as error:
            self._refuse(drop, error, result, raw)

    def _adopt(self, drop: Drop, raw: bytes, request: DroppedRequest, result: AdoptionResult) -> None:
        mark = self._mark(drop, raw)
        if any(named(request)) and (adopted := self._made_from(request.id or mark, mark)):
            self._remove(drop, raw, request, adopted, result)  # its pictures may be gone already
            return
        found = self._beside.find(drop, request)
        job = self._job(request, mark, found)
        try:
            if found.by_field:
                self._spool.check_capacity()
                self._beside.hold(found)
            self._spool.submit_named(job)
        except JobBusy as error:  # it may be free again, or in use, soon; refusing the drop now could be wrong
            logger.info("%s waits: %s", ascii(drop.name), error)
            result.wait(BUSY_SECONDS)
            return
        except DuplicateJob as error:
            if not self._made_from(job.id, mark):
                self._refuse(drop, InvalidRequest(f"duplicate id: {error}", "id"), result, raw)
                return
        else:
            failpoint("adopt.stored")
            result.adopted.append(job.id)
            logger.info("Adopted %s as job %s.", ascii(drop.name), job.id)
        self._remove(drop, raw, request, job, result)

    def _mark(self, drop: Drop, raw: bytes) -> str:
        """What tells this drop from every other, and is the same after a crash."""
        now = self._monotonic()
        self._removed = {mark: moment for mark, moment in self._removed.items() if now - moment < CLOCK_TICK}
        mark = drop_id(os.fsencode(drop.name), drop.status, hashlib.sha256(raw).hexdigest())
        while mark in self._removed:
            mark = drop_id(os.fsencode(drop.name), drop.status, mark)
        return mark

    def _job(self, request: DroppedRequest, mark: str, found: FoundPictures) -> Job:
        order, pictures = self._spool.clock.issue(), found.by_field
        job_id = request.id or mark
        return self._validator.job(request, job_id=job_id, order=order, source="file", drop=mark, pictures=pictures)

    def _made_from(self, job_id: str, mark: str) -> Job | None:
        """The job that was made from this very drop, by a process that died before removing the drop."""
        try:
            job = self._spool.find(job_id)[1]
        except (JobNotFound, CorruptJob):
            return None
        return job if job.drop == mark else None

    def _remove(self, drop: Drop, raw: bytes, request: DroppedRequest, job: Job, result: AdoptionResult) -> None:
        """Remove an adopted drop, its pictures first; unless its writer went on after the job was whole."""
        self._beside.remove(request, job)
        now = Drop(drop.path, os.lstat(drop.path))
        if now.signature != drop.signature and os.path.samestat(now.status, drop.status) and _differs(now, raw):
            text = f"The file was changed after it had become the job {job.id!r}, which has its first content."
            self._refuse(now, InvalidRequest(text), result)
            return
        remove_drop(drop.path, drop.status)
        failpoint("adopt.removed")
        if job.drop is not None:
            self._removed[job.drop] = self._monotonic()
        self._notes.clear(drop)

    def _cancel(self, drop: Drop, result: AdoptionResult) -> None:
        job_id = drop.name[: -len(CANCEL_SUFFIX)]
        try:
            self._spool.cancel(job_id)
        except JobNotFound:
            if self._full:  # the job may be among the drops that wait
                result.wait(FULL_SECONDS)
            elif is_job_id(job_id) and not self._spool.is_stalled(job_id):  # somebody is storing it
                result.wait(BUSY_SECONDS)
            else:
                self._refuse(drop, InvalidRequest(f"No job has the id {shown_name(job_id)!r} to cancel.", "id"), result)
        except CorruptJob as error:
            self._refuse(drop, InvalidRequest(f"The job cannot be cancelled: {error}", "id"), result)
        else:
            remove_drop(drop.path, drop.status)
            result.cancelled.append(job_id)

    # --- Refusing, waiting, leaving alone -----------------------------------------------------

    def _refuse(self, drop: Drop, error: InvalidRequest, result: AdoptionResult, raw: bytes = b"") -> None:
        """Move a drop to `rejected/`, the pictures that `raw`, its content, names first."""
        for picture in self._beside.refused(raw):
            self._take(picture, error, result)
        self._take(drop, error, result)

    def _take(self, drop: Drop, error: InvalidRequest, result: AdoptionResult) -> None:
        self._notes.clear(drop)
        try:
            taken = self._rejected.take(drop.path, drop.status, error.message, error.field)
        except files.FileTooLarge:
            self._postpone(drop, OSError(f"{error.message} It cannot be moved to rejected/ by a link"), result)
            return
        if taken:
            logger.warning("Refused the dropped file %s: %s", ascii(drop.name), ascii(error.log_message))
            result.refused.append(shown_name(drop.name))

    def _quiet_left(self, drop: Drop) -> float:
        """For how many more seconds a file that does not parse is given time to grow."""
        since = self._growing.get(drop)
        return self._quiet_seconds - (0.0 if since is None else self._monotonic() - since)

    def _wait_for_room(self, error: Exception, result: AdoptionResult) -> None:
        if not self._full:
            logger.warning("Dropped files wait: %s", error)
        self._full = True
        result.wait(FULL_SECONDS)

    def _postpone(self, drop: Drop, error: OSError, result: AdoptionResult) -> None:
        self._postponed.put(drop, self._monotonic() + RETRY_SECONDS)
        result.wait(RETRY_SECONDS)
        self._notes.put(
            drop, f"{error.strerror or error}. The file stays, and is tried again every {RETRY_SECONDS:g} s."
        )


def _differs(drop: Drop, raw: bytes) -> bool:
    try:
        return files.read(drop.path, limit=strict_json.SIZE_LIMIT).strip() != raw.strip()
    except files.FileTooLarge:
        return True
