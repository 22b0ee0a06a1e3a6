"""Sidecars for tests."""

from __future__ import annotations

from jobs import ids
from jobs.schema import EffectiveSettings
from outputs.sidecar import Sidecar
from outputs.store import digest

DAY_MS = 86_400_000


def earlier(order: str, days: float) -> str:
    """An order issued some days earlier."""
    digits = f"{int(order.replace('-', '')[:12], 16) - int(days * DAY_MS):012x}"
    return f"{digits[:8]}-{digits[8:]}{order[13:]}"


def make_sidecar(
    order: str, prompt: str, model: str, *, days_ago: float = 0, number: int = 1, png: bytes = b"bytes"
) -> Sidecar:
    """A whole sidecar."""
    order = earlier(order, days_ago)
    return Sidecar(
        id=ids.image_id(order, number),
        job_id=order,
        order=order,
        model_id=model,
        model_source="example/tiny",
        prompt=prompt,
        settings=EffectiveSettings(
            num_images=8,
            num_inference_steps=4,
            guidance_scale=1.0,
            height=64,
            width=64,
            max_sequence_length=64,
            seed=1,
        ),
        seed=1,
        image_number=number,
        total_images=8,
        attempt=1,
        width=64,
        height=64,
        created_at=ids.timestamp(),
        generation_time=1.0,
        duration_seconds=1.0,
        device="cpu",
        dtype="float32",
        versions={},
        size_bytes=len(png),
        sha256=digest(png),
    )
