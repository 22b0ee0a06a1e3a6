"""The sidecar: a JSON file beside each PNG with everything needed to make the image again."""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

from jobs.schema import EffectiveSettings

SCHEMA_VERSION: Final = 1


class Sidecar(Struct, frozen=True, kw_only=True):
    """What is known of one image. Its presence is the commit mark: without it there is no image.

    Times are RFC 3339 in UTC, except `generation_time`, the epoch second at which the image was finished.
    """

    schema: Literal[1] = SCHEMA_VERSION
    id: str
    job_id: str
    order: str
    model_id: str
    #: Hub id or local folder, and the revision of the weights.
    model_source: str
    model_revision: str | None = None
    prompt: str
    #: As the model used it: None where it was ignored.
    negative_prompt: str | None = None
    #: As requested.
    requested_negative_prompt: str | None = None
    #: The noise schedule, as its diffusers class is called without "Scheduler".
    scheduler: str | None = None
    #: Options that tell schedules of one class apart (`use_karras_sigmas`).
    scheduler_options: dict[str, Any] = {}
    #: The job's effective settings; `seed` is the job's, see `seed` below for the image's own.
    settings: EffectiveSettings
    #: SHA-256 of the pictures that it was made from, by the field of the request (`image`, `mask`).
    inputs: dict[str, str] = {}
    #: The seed that makes this image alone (with num_images 1).
    seed: int
    image_number: int
    total_images: int
    attempt: int
    width: int
    height: int
    created_at: str
    generation_time: float
    #: Pipeline call to decoded image, without queueing, loading and saving.
    duration_seconds: float
    device: str
    dtype: str
    #: Package name to version.
    versions: dict[str, str]
    #: What was changed to make it fit or fast (offload, quantisation, caching); empty if nothing.
    plan: dict[str, Any] = {}
    warnings: list[str] = []
    #: Size and SHA-256 of the PNG file.
    size_bytes: int
    sha256: str
    #: What people say of the image; the only fields that change. Its PNG has none of them.
    favourite: bool = False
    labels: list[str] = []
