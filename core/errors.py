"""The errors that any part may raise. Each class says in one sentence what went wrong."""

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

    @property
    def log_message(self) -> str:
        """The message for the log, which must not show what somebody wants to see drawn."""
        return f"its {self.field} cannot be used." if self.field in ("prompt", "negative_prompt") else self.message


class StorageUnavailable(CyberImageError):
    """The disk refused a write, or less free space is left than the reserve; nothing was stored."""


class SettingsError(CyberImageError):
    """An environment variable has a value that cannot be used."""


class DataDirectoryError(CyberImageError):
    """The data directory is not one of ours, or cannot be used."""


class IndexUnavailable(CyberImageError):
    """The derived index is being built or cannot be read now; the files themselves are not affected."""
