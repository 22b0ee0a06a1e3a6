"""Every answer as a struct: its JSON, its description in OpenAPI and its type are this one definition."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from jobs.catalog import Capabilities
from jobs.index.queries import Counts
from jobs.limits import Limits
from jobs.picture_fields import JobPicture
from jobs.schema import EffectiveSettings, ModelDefaults

Time = Annotated[str, Meta(description="RFC 3339 in UTC", extra_json_schema={"format": "date-time"})]
Status = Annotated[
    Literal["pending", "processing", "completed", "failed"], Meta(description="A cancelled job reads failed")
]


class _Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


Answer = TypeVar("Answer", bound=Struct)


def with_fields_of(record: Struct, kind: type[Answer], **computed: Any) -> Answer:
    """An answer whose fields are those of the same names of `record`, beside the computed ones."""
    if not computed:
        return msgspec.convert(record, kind, from_attributes=True)
    names, values_of = _copied(kind, tuple(computed))
    computed.update(zip(names, values_of(record), strict=True))
    return kind(**computed)


@cache
def _copied(
    kind: type[Struct], computed: tuple[str, ...]
) -> tuple[tuple[str, ...], Callable[[Struct], tuple[Any, ...]]]:
    """The fields that are not computed, and what reads them; `attrgetter` takes half the time of a loop."""
    names = tuple(name for name in kind.__struct_fields__ if name not in computed)
    return names, attrgetter(*names)


class ErrorAnswer(_Answer, frozen=True, kw_only=True):
    """Every error has this form."""

    status: Literal["error"]
    message: Annotated[str, Meta(description="What is wrong, with which value, and what would be right")]
    request_id: Annotated[str | None, Meta(description="The log has the request under this id")]
    field: Annotated[str, Meta(description="The field, parameter or header that is wrong")] | UnsetType = UNSET
    error_type: Annotated[str, Meta(description="A stable word for programs")] | UnsetType = UNSET
    retry_after: Annotated[int, Meta(description="Seconds to wait, as in Retry-After")] | UnsetType = UNSET


class ModelAnswer(_Answer, frozen=True, kw_only=True):
    """One model of the catalog."""

    id: Annotated[str, Meta(description="Hub id, or a folder")]
    description: str
    available: Annotated[bool, Meta(description="Whether its weights are on this machine")]
    defaults: ModelDefaults
    limits: Limits
    capabilities: Capabilities
    schedulers: Annotated[list[str], Meta(description="What settings.scheduler may be; its own is the default")]
    plan: Annotated[
        dict[str, Any] | None,
        Meta(description="Where its weights are and what was done for speed, while it is in memory; null otherwise"),
    ]


class ModelsAnswer(_Answer, frozen=True, kw_only=True):
    """All models by key."""

    models: dict[str, ModelAnswer]
    default: Annotated[str, Meta(description="A key of models")]


class AcceptedAnswer(_Answer, frozen=True, kw_only=True):
    """A job was accepted, and survives a power cut from now on."""

    job_id: str
    status: Status
    num_images: int
    message: str
    seed: Annotated[int, Meta(description="Image k of the job uses seed + k - 1")]
    warnings: list[str]


class ProgressAnswer(_Answer, frozen=True, kw_only=True):
    """Exactly one of the six flags is true."""

    preparing: bool
    loading_model: bool
    generating: bool
    saving: bool
    completed: bool
    failed: bool
    step: int
    total_steps: int
    image_number: int
    total_images: int


class StatusImageMetadata(_Answer, frozen=True, kw_only=True):
    """What the image was made with."""

    model_id: str
    prompt: str
    negative_prompt: str | None
    settings: EffectiveSettings
    image_number: int
    total_images: int
    seed: int
    width: int
    height: int


class StatusImage(_Answer, frozen=True, kw_only=True):
    """A finished image of a job."""

    id: str
    file_path: Annotated[str, Meta(description="YYYY/MM/DD/<image id>.png below the outputs")]
    created_at: Time
    metadata: StatusImageMetadata


class JobSummary(_Answer, frozen=True, kw_only=True):
    """A job without its progress and images."""

    id: str
    status: Status
    model_id: str
    prompt: str
    negative_prompt: str | None
    settings: Annotated[dict[str, Any], Meta(description="As sent")]
    effective_settings: EffectiveSettings
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
    duration_seconds: float | None
    attempts: int
    error_message: str | None
    error_type: Annotated[str | None, Meta(description="`cancelled` for a cancelled job")]
    source: Literal["http", "file"]
    retry_of: str | None
    labels: Annotated[list[str], Meta(description="Given to its images")]
    image: Annotated[JobPicture | None, Meta(description="The picture that it begins from")]
    mask: Annotated[JobPicture | None, Meta(description="What of it is drawn anew")]


class StatusAnswer(JobSummary, frozen=True, kw_only=True):
    """Everything about a job."""

    message: str
    progress: ProgressAnswer
    images: Annotated[list[StatusImage], Meta(description="In order, each as soon as it is stored")]
    queue_position: Annotated[int | None, Meta(description="0 = next; null if it does not wait")]
    eta_seconds: Annotated[float | None, Meta(description="Seconds to its end, where that can be estimated")]
    preview_url: Annotated[str | None, Meta(description="How the current image looks so far, where that is known")]
    warnings: list[str]


class MetadataAnswer(_Answer, frozen=True, kw_only=True):
    """Everything about an image."""

    id: str
    job_id: str
    order: str
    model_id: str
    model_source: str
    model_revision: str | None
    prompt: str
    negative_prompt: Annotated[str | None, Meta(description="As the model used it")]
    requested_negative_prompt: str | None
    scheduler: Annotated[str | None, Meta(description="The noise schedule")]
    scheduler_options: Annotated[dict[str, Any], Meta(description="What tells schedules of one class apart")]
    settings: EffectiveSettings
    inputs: Annotated[dict[str, str], Meta(description="SHA-256 of the pictures it was made from, by field")]
    seed: Annotated[int, Meta(description="Makes this image alone")]
    image_number: int
    total_images: int
    attempt: int
    width: int
    height: int
    created_at: Time
    generation_time: Annotated[float, Meta(description="Epoch second at which the image was finished")]
    duration_seconds: float
    device: str
    dtype: str
    versions: dict[str, str]
    plan: dict[str, Any]
    warnings: list[str]
    size_bytes: int
    sha256: str
    favourite: bool
    labels: list[str]
    file_path: str


class DoneAnswer(_Answer, frozen=True, kw_only=True):
    """It was done."""

    status: Literal["success"]
    message: str


class CancelAnswer(DoneAnswer, frozen=True, kw_only=True):
    """The job is cancelled, or stops at its next step."""

    job_id: str
    cancelled: Annotated[bool, Meta(description="false: it stops at its next step")]


class ResetAnswer(DoneAnswer, frozen=True, kw_only=True):
    """Stalled jobs went back to pending."""

    reset_count: int


class QueueAnswer(Counts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Jobs by status; the rest with `detailed=true`."""

    queue_size: int
    paused: Annotated[bool, Meta(description="Whether no job is begun before somebody resumes the queue")]
    eta_seconds: Annotated[
        float | None, Meta(description="Seconds until all that waits now is drawn; null where that is not known")
    ]
    recent_24h: Counts | UnsetType = UNSET
    avg_processing_time_seconds: float | UnsetType = UNSET
    models: dict[str, Counts] | UnsetType = UNSET
    failure_rate: Annotated[float, Meta(description="Percent in 24 h; cancelled jobs do not count")] | UnsetType = UNSET


class GalleryImage(_Answer, frozen=True, kw_only=True):
    """An image of the gallery."""

    id: str
    model_id: str
    prompt: str
    created_at: Time
    settings: EffectiveSettings
    negative_prompt: str | None
    seed: int
    width: int
    height: int
    job_id: str
    image_number: int
    total_images: int
    favourite: bool
    labels: list[str]


class LabelCount(_Answer, frozen=True, kw_only=True):
    """A label, and how many images have it."""

    label: str
    images: int


class LabelsAnswer(_Answer, frozen=True, kw_only=True):
    """The labels that images have, those of most images first."""

    labels: list[LabelCount]


class DeletedAnswer(DoneAnswer, frozen=True, kw_only=True):
    """The images are gone."""

    deleted: Annotated[int, Meta(description="How many were there to be deleted; those that were gone are no error")]


class GalleryAnswer(_Answer, frozen=True, kw_only=True):
    """A page of the gallery."""

    images: list[GalleryImage]
    page: Annotated[int, Meta(description="As asked; 1 with a cursor")]
    limit: int
    has_more: bool
    total: Annotated[int, Meta(description="All images that match")]
    next_cursor: Annotated[
        str | None, Meta(description="Leads to the images after these, whatever comes and goes; null on the last page")
    ]


class JobsAnswer(_Answer, frozen=True, kw_only=True):
    """A page of jobs, newest first."""

    jobs: list[JobSummary]
    limit: int
    next_cursor: Annotated[str | None, Meta(description="null on the last page")]


class EnrichAnswer(_Answer, frozen=True, kw_only=True):
    """A fuller prompt."""

    original_prompt: str
    enriched_prompt: str
    style: str
    source: Annotated[Literal["built-in", "openai"], Meta(description="Who wrote it")]
    warnings: list[str]


class LiveAnswer(_Answer, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["ok"]


class ReadyAnswer(_Answer, frozen=True, kw_only=True):
    """Whether a job sent now would be taken and drawn."""

    status: Literal["ok", "error"]
    message: str
    checks: dict[str, dict[str, Any]]
