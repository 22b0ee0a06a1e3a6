"""What a scan of the dropped files did."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class AdoptionResult:
    """What one scan did, and when the next one has something to do although no event comes."""

    adopted: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    #: Names of refused files, as text.
    refused: list[str] = field(default_factory=list)
    #: Files that stay for now: not whole yet, not readable, or no room in the queue or on the disk.
    waiting: int = 0
    #: Seconds until the next scan is due; None if only a new or changed file needs one.
    next_check: float | None = None

    def wait(self, seconds: float, count: int = 1) -> None:
        """Count drops that stay, to be looked at again within N seconds."""
        self.waiting += count
        self.next_check = max(0.0, seconds if self.next_check is None else min(self.next_check, seconds))
