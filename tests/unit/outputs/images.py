"""Sidecars of images that were made some days ago."""

from __future__ import annotations

from outputs.sidecar import Sidecar
from tests.sidecars import sidecar

DAY_MS = 86_400_000


def earlier(order: str, days: float) -> str:
    """An order issued some days earlier."""
    digits = f"{int(order.replace('-', '')[:12], 16) - int(days * DAY_MS):012x}"
    return f"{digits[:8]}-{digits[8:]}{order[13:]}"


def make_sidecar(order: str, prompt: str, model: str, *, days_ago: float = 0, number: int = 1) -> Sidecar:
    """A whole sidecar."""
    return sidecar(earlier(order, days_ago), number, prompt=prompt, model_id=model)
