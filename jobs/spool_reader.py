"""Reading the spool: which job is where, and what its files say.

A job is one JSON file; the directory it lies in is its status. Jobs move while they are looked for, so look-ups
go the way that jobs do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from core import files, locks
from core.layout import Layout
from jobs.errors import CorruptJob, JobNotFound
from jobs.ids import is_job_id
from jobs.job_format import decode_job
from jobs.schema import Job, Progress, State
from jobs.turns import Turns

#: Look-ups go the way that jobs move, so a job that moves meanwhile is met again further on.
_LIFE: Final = tuple(State)
#: A recovery moves a job backwards, past a reader that looks forwards; hence a second round.
_LOOK_UP: Final = (*_LIFE, *_LIFE)
#: Ended jobs whose directory a process remembers.
_REMEMBERED: Final = 1000


class SpoolReader:
    """The jobs of one data directory, as their files are now. Holds no open files: safe to use from any thread."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.turns = Turns(layout.turns, layout.temporary)
        self._ended: dict[str, State] = {}

    # --- Paths --------------------------------------------------------------------------------

    def path(self, state: State, job_id: str) -> Path:
        """The file of a job in a state; raises JobNotFound for a name that can be no id."""
        return Path(self._file(state, job_id))

    def _file(self, state: State, job_id: str) -> str:
        if not is_job_id(job_id):
            raise JobNotFound(job_id)
        return self.layout.job(state, job_id)

    # --- Reading ------------------------------------------------------------------------------

    def find(self, job_id: str) -> tuple[State, Job]:
        """A job and its state; raises JobNotFound, NewerJob, CorruptJob."""
        ended = self._ended.get(job_id)
        for state in _LOOK_UP if ended is None else (ended, *_LOOK_UP):
            try:
                job = self.read(state, job_id)
            except FileNotFoundError:
                continue
            if state.is_final and state is not ended:
                self._remember_end(job_id, state)
            return state, job
        if _is_taken(self.layout.corrupt_job(job_id)):
            raise CorruptJob(f"The file of the job {job_id} could not be read as a job, and was set aside.")
        raise JobNotFound(job_id)

    def _remember_end(self, job_id: str, state: State) -> None:
        """Look there first the next time: clients ask for ended jobs again and again."""
        if len(self._ended) >= _REMEMBERED:
            self._ended.clear()
        self._ended[job_id] = state

    def read(self, state: State, job_id: str) -> Job:
        """The job file in one state; raises JobNotFound, FileNotFoundError, NewerJob, CorruptJob."""
        path, name = self._file(state, job_id), f"{state}/{job_id}.json"
        try:
            content = files.read(path)
        except files.NotRegularFile as error:
            raise CorruptJob(f"{name} cannot be read as a job: it is {error}.") from error
        job = decode_job(content, name)
        if job.id != job_id:  # a copy made by hand; two files would be changed as one
            raise CorruptJob(f"{name} cannot be read as a job: its id is {job.id!r}, which is not its file's name.")
        if state is State.PENDING and job.boot_id is not None:
            # A claim has counted an attempt and is about to move the file, or died before that: it is not begun.
            return job.evolve(attempts=max(0, job.attempts - 1), boot_id=None)
        return job

    def exists(self, job_id: str) -> bool:
        """Whether a job with this id is in any state; raises JobNotFound for a name that can be no id."""
        return any(self.holds(state, job_id) for state in _LOOK_UP)

    def holds(self, state: State, job_id: str) -> bool:
        """Whether a job is in this state; raises JobNotFound for a name that can be no id."""
        return _is_taken(self._file(state, job_id))

    def ids(self, state: State) -> Iterator[str]:
        """The ids in a state, in no order."""
        with os.scandir(self.layout.state(state)) as entries:
            for entry in entries:
                name = entry.name
                if name.endswith(".json") and is_job_id(name[:-5]):
                    yield name[:-5]

    def progress(self, job: Job) -> Progress | None:
        """How far the current attempt is; None where nothing (or nothing readable, or an old attempt's) is known."""
        try:
            progress = msgspec.json.decode(files.read(self.layout.progress_of(job.id)), type=Progress)
        except (OSError, ValueError):
            return None
        return progress if progress.attempt == job.attempts else None

    def preview(self, job_id: str) -> bytes | None:
        """A small WebP of the current image; None where there is none."""
        try:
            return files.read(self.layout.preview_of(job_id))
        except (OSError, ValueError):
            return None

    def preview_version(self, job_id: str) -> str | None:
        """A word that changes with the preview; None where there is none."""
        try:
            status = os.stat(self.layout.preview_of(job_id))
        except FileNotFoundError:
            return None
        return f"{status.st_mtime_ns:x}"

    def is_stalled(self, job_id: str) -> bool:
        """Whether no living process holds a job that is `processing`."""
        return not locks.is_locked(self.layout.lock(job_id))


def _is_taken(name: str) -> bool:
    try:
        os.lstat(name)
    except FileNotFoundError:
        return False
    return True
