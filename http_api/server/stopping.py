"""Whether this process is about to end, so that what would last for hours (event streams) ends in time."""

from __future__ import annotations

_stopping = False


def begin() -> None:
    """The process must end; safe to call in a signal handler."""
    global _stopping
    _stopping = True


def is_stopping() -> bool:
    """Whether `begin` was called."""
    return _stopping
