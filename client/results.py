"""The answers of the API as types. Fields that a newer server adds are ignored; extra ones may be absent."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, convert, field

_PHASES: Final = ("preparing", "loading_model", "generating", "saving", "completed", "failed")


class Submission(Struct, frozen=True, kw_only=True):
    """An accepted job. `seed` is that of its first image."""

    job_id: str
    status: str
    num_images: int
    message: str = ""
    seed: int | None = None
    warnings: list[str] = field(default_factory=list)


class Progress(Struct, frozen=True, kw_only=True):
    """How far a job is; one of the six flags is true. The steps are those of the current image."""

    preparing: bool = False
    loading_model: bool = False
    generating: bool = False
    saving: bool = False
    completed: bool = False
    failed: bool = False
    step: int | None = None
    total_steps: int | None = None
    image_number: int = 1
    total_images: int = 1

    @property
    def phase(self) -> str:
        """The name of the flag that is true; `preparing` if none is."""
        return next((name for name in _PHASES if getattr(self, name)), "preparing")


class ImageFacts(Struct, frozen=True, kw_only=True):
    """What is known of a job's image; None where the server does not say."""

    image_number: int | None = None
    seed: int | None = None
    prompt: str | None = None


class JobImage(Struct, frozen=True, kw_only=True):
    """An image of a job."""

    id: str
    file_path: str = ""
    created_at: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse metadata of which nothing can be known; msgspec makes a ValidationError of it."""
        convert(self.metadata, ImageFacts)

    @property
    def facts(self) -> ImageFacts:
        """What the metadata says for certain."""
        return convert(self.metadata, ImageFacts)


class JobSummary(Struct, frozen=True, kw_only=True):
    """A job as the list of jobs shows it. Times are RFC 3339 in UTC, durations seconds."""

    id: str
    status: str
    model_id: str
    prompt: str
    negative_prompt: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    effective_settings: dict[str, Any] = field(default_factory=dict)
    created_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    duration_seconds: float | None = None
    attempts: int = 0
    error_message: str | None = None
    error_type: str | None = None
    source: str | None = None
    retry_of: str | None = None
    labels: list[str] = field(default_factory=list)


class JobStatus(JobSummary, frozen=True, kw_only=True):
    """Everything about a job. `queue_position` 0 is the next one; `eta_seconds` is an estimate."""

    message: str | None = None
    progress: Progress = field(default_factory=Progress)
    images: list[JobImage] = field(default_factory=list)
    queue_position: int | None = None
    eta_seconds: float | None = None
    preview_url: str | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.status in ("completed", "failed")


class JobPage(Struct, frozen=True, kw_only=True):
    """Jobs, newest first; `next_cursor` asks for the ones after them, None at the end."""

    jobs: list[JobSummary]
    next_cursor: str | None = None


class Cancellation(Struct, frozen=True, kw_only=True):
    """`cancelled` is False while a running job still goes to its next step."""

    cancelled: bool
    message: str = ""


class Model(Struct, frozen=True, kw_only=True):
    """An entry of the catalog; `id` is the model's name at its hub."""

    id: str
    description: str = ""
    available: bool = True
    defaults: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    capabilities: dict[str, Any] = field(default_factory=dict)
    schedulers: list[str] = field(default_factory=list)


class Models(Struct, frozen=True, kw_only=True):
    """The catalog, and the key of the model to use where nobody chose one."""

    models: dict[str, Model]
    default: str


class QueueCounts(Struct, frozen=True, kw_only=True):
    """Jobs by state."""

    pending: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


class Queue(QueueCounts, frozen=True, kw_only=True):
    """The queue; `eta_seconds` is until all that waits is drawn. What follows it is there in the detailed form only.

    `failure_rate` is in percent.
    """

    queue_size: int = 0
    paused: bool = False
    eta_seconds: float | None = None
    recent_24h: QueueCounts | None = None
    avg_processing_time_seconds: float | None = None
    models: dict[str, QueueCounts] | None = None
    failure_rate: float | None = None


class GalleryImage(Struct, frozen=True, kw_only=True):
    """An image as the gallery lists it."""

    id: str
    model_id: str
    prompt: str
    created_at: str
    settings: dict[str, Any] = field(default_factory=dict)
    negative_prompt: str | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    job_id: str | None = None
    image_number: int = 1
    total_images: int = 1
    favourite: bool = False
    labels: list[str] = field(default_factory=list)


class GalleryPage(Struct, frozen=True, kw_only=True):
    """One page of the gallery, newest first; `total` counts all images that match.

    `next_cursor` asks for the images after these, None at the end.
    """

    images: list[GalleryImage]
    page: int
    limit: int
    has_more: bool
    total: int
    next_cursor: str | None = None


class ImageMetadata(Struct, frozen=True, kw_only=True):
    """How an image was made. `generation_time` is the epoch second at which it was finished."""

    model_id: str
    prompt: str
    negative_prompt: str | None = None
    requested_negative_prompt: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    generation_time: float | None = None
    image_number: int = 1
    total_images: int = 1
    id: str | None = None
    job_id: str | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    created_at: str | None = None
    duration_seconds: float | None = None
    file_path: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    model_source: str | None = None
    model_revision: str | None = None
    scheduler: str | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    attempt: int | None = None
    device: str | None = None
    dtype: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    favourite: bool = False
    labels: list[str] = field(default_factory=list)


class Input(Struct, frozen=True, kw_only=True):
    """A picture that the server took in: `id` is what a request may name."""

    id: str
    sha256: str
    width: int
    height: int


class Enrichment(Struct, frozen=True, kw_only=True):
    """A prompt with more words; `source` says who found them."""

    original_prompt: str
    enriched_prompt: str
    style: str
    source: str | None = None
    warnings: list[str] = field(default_factory=list)


class Reset(Struct, frozen=True, kw_only=True):
    """How many stalled jobs are pending again."""

    reset_count: int
    message: str = ""


class JobOrder(Struct, frozen=True, kw_only=True):
    """The ids of the active jobs in their order: those that run, then those that wait. `more` are not listed."""

    order: list[str]
    more: int = 0


class Pause(Struct, frozen=True, kw_only=True):
    """Whether jobs are begun."""

    paused: bool
    message: str = ""


class Move(Struct, frozen=True, kw_only=True):
    """A job has another turn; `queue_position` 0 is the next one."""

    job_id: str
    queue_position: int | None = None
    message: str = ""


class Me(Struct, frozen=True, kw_only=True):
    """The name of the key that was sent (None where no keys are needed), and what it may do."""

    key: str | None = None
    scopes: list[str] = field(default_factory=list)
