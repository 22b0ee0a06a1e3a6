"""The errors of the shared core. Each class says in one sentence what went wrong."""

from __future__ import annotations


class CyberImageError(Exception):
    """Base of every error that this project raises on purpose."""


class InvalidRequest(CyberImageError):
    """The request breaks a rule.

    `message` is a sentence for the person who sent it: the field, its value and what would be right.
    `field` is the dotted path of the offending field (`settings.width`), empty for the document itself.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field


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


class CorruptJob(CyberImageError):
    """A job file cannot be read as a job."""


class QueueFull(CyberImageError):
    """As many jobs are pending as the operator allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The queue is full: {limit} jobs are pending. Try again later.")
        self.limit = limit


class StorageUnavailable(CyberImageError):
    """The disk refused a write, or less free space is left than the reserve; nothing was stored."""


class LostClaim(CyberImageError):
    """The lock file of a claimed job was removed or replaced, so the claim may no longer be exclusive."""


class SettingsError(CyberImageError):
    """An environment variable has a value that cannot be used."""


class CatalogError(CyberImageError):
    """The model catalog cannot be used; the message names the file, the line and the fix."""


class DataDirectoryError(CyberImageError):
    """The data directory is not one of ours, or cannot be used."""


class IndexUnavailable(CyberImageError):
    """The derived index is being built or cannot be read now; the files themselves are not affected."""
