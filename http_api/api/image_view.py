"""Images as the API shows them, from their sidecars."""

from __future__ import annotations

from typing import Any

import msgspec

from jobs.ids import image_folder
from outputs.sidecar import Sidecar


def file_path(sidecar: Sidecar) -> str:
    """The PNG's path below the outputs."""
    return f"{image_folder(sidecar.id)}/{sidecar.id}.png"


def in_status(sidecar: Sidecar) -> dict[str, Any]:
    """An entry of `images` in a job's status."""
    return {
        "id": sidecar.id,
        "file_path": file_path(sidecar),
        "created_at": sidecar.created_at,
        "metadata": {
            "model_id": sidecar.model_id,
            "prompt": sidecar.prompt,
            "negative_prompt": sidecar.negative_prompt,
            "settings": sidecar.settings,
            "image_number": sidecar.image_number,
            "total_images": sidecar.total_images,
            "seed": sidecar.seed,
            "width": sidecar.width,
            "height": sidecar.height,
        },
    }


def in_gallery(sidecar: Sidecar) -> dict[str, Any]:
    """An entry of the gallery."""
    return {
        "id": sidecar.id,
        "model_id": sidecar.model_id,
        "prompt": sidecar.prompt,
        "created_at": sidecar.created_at,
        "settings": sidecar.settings,
        "negative_prompt": sidecar.negative_prompt,
        "seed": sidecar.seed,
        "width": sidecar.width,
        "height": sidecar.height,
        "job_id": sidecar.job_id,
        "image_number": sidecar.image_number,
        "total_images": sidecar.total_images,
    }


def metadata(sidecar: Sidecar) -> dict[str, Any]:
    """Everything that is known of an image: all that its sidecar holds, but the schema's number."""
    known: dict[str, Any] = msgspec.to_builtins(sidecar)
    known.pop("schema")
    return {**known, "file_path": file_path(sidecar)}
