"""Sidecars as a worker would write them, for tests that draw nothing."""

from __future__ import annotations

from typing import Any

from jobs import ids
from jobs.schema import EffectiveSettings, Job
from outputs.sidecar import Sidecar
from outputs.store import digest

SETTINGS = EffectiveSettings(
    num_images=8, num_inference_steps=4, guidance_scale=1.0, height=64, width=64, max_sequence_length=64, seed=1
)


def sidecar(order: str, number: int = 1, png: bytes = b"bytes", **facts: Any) -> Sidecar:
    """The record of image `number` of the job with this order; `facts` replace what is assumed."""
    settings: EffectiveSettings = facts.get("settings", SETTINGS)
    assumed: dict[str, Any] = {
        "id": ids.image_id(order, number),
        "job_id": order,
        "order": order,
        "model_id": "tiny",
        "model_source": "example/tiny",
        "prompt": "a castle",
        "settings": settings,
        "seed": settings.seed + number - 1,
        "image_number": number,
        "total_images": settings.num_images,
        "attempt": 1,
        "width": settings.width,
        "height": settings.height,
        "created_at": ids.timestamp(),
        "generation_time": 1_700_000_000.5,
        "duration_seconds": 1.5,
        "device": "cpu",
        "dtype": "float32",
        "versions": {"torch": "2"},
        "size_bytes": len(png),
        "sha256": digest(png),
    }
    return Sidecar(**(assumed | facts))


def sidecar_of(job: Job, number: int, png: bytes, **facts: Any) -> Sidecar:
    """The record of image `number` of a job; `facts` replace what follows from the job."""
    follows: dict[str, Any] = {
        "job_id": job.id,
        "model_id": job.model_id,
        "prompt": job.prompt,
        "negative_prompt": job.negative_prompt,
        "requested_negative_prompt": job.negative_prompt,
        "settings": job.effective_settings,
        "attempt": job.attempts,
        "labels": job.labels,
    }
    return sidecar(job.order, number, png, **(follows | facts))
