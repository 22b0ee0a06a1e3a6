"""The table of faults: what was tried, how often, and how many promises were broken."""

from __future__ import annotations

from collections.abc import Sequence

TABLE: dict[str, tuple[int, int]] = {}


def record(fault: str, tries: int, violations: Sequence[str] = ()) -> None:
    """Add tries and violations to a row, and fail the test if there are any of the latter."""
    before_tries, before_violations = TABLE.get(fault, (0, 0))
    TABLE[fault] = (before_tries + tries, before_violations + len(violations))
    assert not violations, f"{fault}: {len(violations)} violations:\n" + "\n".join(violations[:20])
