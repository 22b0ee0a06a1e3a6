"""The errors of jobs and their catalog. Each class says in one sentence what went wrong."""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import CyberImageError


class JobNotFound(CyberImageError):
    """No job has this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"No job has the id {job_id[:80]!r}.")
        self.job_id = job_id


class DuplicateJob(CyberImageError):
    """A job with this id exists already, in whatever state."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"A job with the id {job_id!r} exists already; choose another id.")
        self.job_id = job_id


class JobBusy(CyberImageError):
    """Another process has held the lock of this job's id for as long as the caller could wait."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"The id {job_id!r} is being used by another request or process just now. Try again.")
        self.job_id = job_id


class CorruptJob(CyberImageError):
    """A job file cannot be read as a job."""


class NewerJob(CorruptJob):
    """A job file was written by a newer version of this program. It is not damaged, and is left as it is."""

    def __init__(self, name: str, schema: int, known: int) -> None:
        super().__init__(
            f"{name} was written by a newer version of CyberImage (schema {schema}; this version reads up to {known}). "
            "Update this installation to use the job."
        )


class QueueFull(CyberImageError):
    """As many jobs are pending as the operator allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The queue is full: {limit} jobs are pending. Try again later.")
        self.limit = limit


class LostClaim(CyberImageError):
    """The lock file of a claimed job was removed or replaced, so the claim may no longer be exclusive."""


class CatalogError(CyberImageError):
    """The model catalog cannot be used; the message names the file, the line and the fix."""


class UnknownModel(CatalogError):
    """A job names a model that the runner's catalog, as it was read at the start, does not have."""

    def __init__(self, key: str, known: Iterable[str]) -> None:
        super().__init__(
            f"Model {key[:80]!r} is not in the runner's catalog: restart the runner if it was added since; "
            f"the runner knows {', '.join(known)}."
        )
        self.key = key
