"""What is known of a job, of the queue and of the runner at one moment."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from jobs.index.queries import Counts
from jobs.runner_status import RunnerState, WorkerStatus
from jobs.schema import Job, Progress, State
from outputs.sidecar import Sidecar


class JobSnapshot(Struct, frozen=True, kw_only=True):
    """A job's file, the directory it lay in, and what is known around it."""

    job: Job
    state: State
    #: None where the job does not run, or has not reported yet.
    progress: Progress | None = None
    images: Sequence[Sidecar] = ()
    #: Processing, but no process holds it.
    stalled: bool = False
    #: Waits, and no job is begun before somebody resumes the queue.
    paused: bool = False
    #: Pending jobs before it; None if it does not wait, or where that is not known now.
    position: int | None = None
    #: Seconds to its end, estimated; None where nothing is known to estimate from.
    eta: float | None = None
    #: Changes with the preview of the current image; None where there is none.
    preview: str | None = None
    #: Sentences about this snapshot, beside the job's own warnings.
    warnings: Sequence[str] = ()


class QueueSnapshot(Struct, frozen=True, kw_only=True):
    """How many jobs there are, and whether and how long they wait."""

    counts: Counts
    #: No job is begun before somebody resumes the queue.
    paused: bool
    #: Seconds until all that waits now is drawn; None where nothing is known to estimate from.
    eta: float | None


class RunnerSnapshot(Struct, frozen=True, kw_only=True):
    """What the runners do: the state of the busiest one, a sentence on it, and all their workers."""

    #: STOPPED where none lives.
    state: RunnerState
    message: str
    workers: Sequence[WorkerStatus] = ()
