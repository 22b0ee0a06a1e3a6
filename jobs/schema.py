"""What a request and a job are: the fields, their types and their limits, once for HTTP and dropped files."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from core.explain import EXPECTED
from jobs.picture_fields import JobPicture, Outpaint, PictureReference

SCHEMA_VERSION: Final = 1
MAX_IMAGES: Final = 8
MAX_SEED: Final = 2**63 - 1


# Directories, the index, filters and answers follow from the states and the table below. The index numbers them in
# this order, in which jobs move, so that a new one in between needs another `jobs.index.queries.VERSION`.
class State(StrEnum):
    """Where a job is; the name of its directory in the spool."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def shown_as(self) -> str:
        """The word of the API for it; old clients know four, and would poll for another one without end."""
        return _PROPERTIES[self].shown_as.value

    @property
    def counted_as(self) -> str:
        """Under which word it is counted: a field of `jobs.index.queries.Counts`."""
        return _PROPERTIES[self].counted_as.value

    @property
    def is_final(self) -> bool:
        """Whether a job in this state never changes again."""
        return _PROPERTIES[self].is_final


class _Properties(NamedTuple):
    shown_as: State
    counted_as: State
    is_final: bool


_PROPERTIES: Final = {
    State.PENDING: _Properties(State.PENDING, State.PENDING, is_final=False),
    State.PROCESSING: _Properties(State.PROCESSING, State.PROCESSING, is_final=False),
    State.COMPLETED: _Properties(State.COMPLETED, State.COMPLETED, is_final=True),
    State.FAILED: _Properties(State.FAILED, State.FAILED, is_final=True),
    State.CANCELLED: _Properties(State.FAILED, State.CANCELLED, is_final=True),
}
ACTIVE_STATES: Final = tuple(state for state in State if not state.is_final)
FINAL_STATES: Final = tuple(state for state in State if state.is_final)


# The settings of a picture, from which requests, the catalog and stored jobs are made. A `title` is the word that other
# tools have for a setting, and gets it into a picture's line of parameters (outputs/a1111.py). Narrower limits may come
# from the model (jobs/limits.py).
NumImages = Annotated[int, Meta(ge=1, le=MAX_IMAGES, description="Images per job")]
Steps = Annotated[int, Meta(ge=1, le=1000, description="Denoising steps; the model may allow fewer")]
Guidance = Annotated[float, Meta(ge=0, le=100, description="How closely to follow the prompt")]
Height = Annotated[int, Meta(ge=8, le=16384, description="Image height in pixels")]
Width = Annotated[int, Meta(ge=8, le=16384, description="Image width in pixels")]
SequenceLength = Annotated[
    int, Meta(ge=1, le=512, description="Tokens of the prompt that are read; the model may allow fewer")
]
Strength = Annotated[
    Annotated[float, Meta(gt=0, le=1)] | None,
    Meta(
        title="Denoising strength",
        description="How far from `image` to go, and which part of the steps is done for that; null: there is none",
    ),
]
SchedulerName = Annotated[
    Annotated[str, Meta(max_length=64)] | None,
    Meta(description="A noise schedule of the model's list in /models; null: the model's own"),
]

MAX_LABELS: Final = 16
Labels = Annotated[
    list[
        Annotated[
            str,
            Meta(min_length=1, max_length=40, pattern=r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"),
        ]
    ],
    Meta(
        max_length=MAX_LABELS,
        description="Names to find images by",
        extra={EXPECTED: f"a list of at most {MAX_LABELS} labels, each of 1 to 40 characters, with no space around it"},
    ),
]


class RequestSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `settings` of a request."""

    num_images: NumImages | UnsetType = UNSET
    num_inference_steps: Steps | UnsetType = UNSET
    guidance_scale: Guidance | UnsetType = UNSET
    height: Height | UnsetType = UNSET
    width: Width | UnsetType = UNSET
    max_sequence_length: SequenceLength | UnsetType = UNSET
    strength: Strength | UnsetType = UNSET
    outpaint: Annotated[Outpaint | None, Meta(description="Margins to draw around `image`")] | UnsetType = UNSET
    scheduler: SchedulerName | UnsetType = UNSET
    seed: (
        Annotated[
            int, Meta(ge=-1, le=MAX_SEED, description="Image k uses seed + k - 1; -1, null or absent: drawn at random")
        ]
        | None
        | UnsetType
    ) = UNSET
    callback_steps: (
        Annotated[int, Meta(ge=1, le=1000, description="How many steps lie between two progress reports")]
        | None
        | UnsetType
    ) = UNSET
    callback: Annotated[Any, Meta(description="Accepted and ignored, with a warning")] = UNSET


class ModelDefaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings that a request gets if it does not send them; the API's own unless the model has others."""

    num_images: NumImages = 1
    num_inference_steps: Steps = 30
    guidance_scale: Guidance = 7.5
    height: Height = 1024
    width: Width = 1024
    max_sequence_length: SequenceLength = 512
    strength: Strength = 0.6
    scheduler: SchedulerName = None


class EffectiveSettings(ModelDefaults, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The settings that a job really runs with: the request's, completed by the model's defaults.

    A setting that came after a job was stored reads as its default.
    """

    #: None where the picture is drawn from noise alone.
    strength: Strength = None
    outpaint: Outpaint | None = None
    seed: int

    @property
    def drawn_steps(self) -> int:
        """The denoising steps of one image: fewer than asked for where it begins from a picture.

        Pipelines round one way or the other, so the engine tells the number that it really does.
        """
        return self.num_inference_steps if self.strength is None else int(self.num_inference_steps * self.strength)


class GenerateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /generate`."""

    model_id: Annotated[str, Meta(description="A key of the catalog, or the model's hub id")]
    prompt: Annotated[str, Meta(min_length=1, description="What the image shows")]
    negative_prompt: Annotated[str, Meta(description="What to avoid, where the model supports it")] | None = None
    image: (
        Annotated[
            PictureReference,
            Meta(description="The picture to begin from: in_... (POST /inputs), img_... (the gallery) or a data: URL"),
        ]
        | None
    ) = None
    mask: (
        Annotated[
            PictureReference,
            Meta(description="A picture of the size of `image`: what is white is drawn anew, what is black is kept"),
        ]
        | None
    ) = None
    settings: RequestSettings = msgspec.field(default_factory=RequestSettings)
    labels: Labels = []


class DroppedRequest(GenerateRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dropped file: the same body, and optionally the job's own id."""

    id: (
        Annotated[
            str,
            Meta(
                pattern="^[A-Za-z0-9_-]{1,64}$",
                description="The id that the job will have",
                extra={EXPECTED: "a name of 1 to 64 letters, digits, - and _"},
            ),
        ]
        | None
    ) = None


class JobError(Struct, frozen=True, kw_only=True):
    """Why a job failed: a stable word for programs and a sentence for people."""

    type: str
    message: str


class Job(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One job, as its file holds it. Its status is the directory that the file lies in.

    Times are RFC 3339 in UTC, durations seconds.
    """

    schema: Literal[1] = SCHEMA_VERSION
    id: str
    #: UUIDv7 of its acceptance: sorts jobs first come, first served, and dates its images.
    order: str
    source: Literal["http", "file"]
    #: Which dropped file it came from (`ids.drop_id`), so that adopting that file again is recognised.
    drop: str | None = None
    model_id: str
    prompt: str
    negative_prompt: str | None = None
    #: As sent.
    settings: dict[str, Any] = {}
    #: Given to every image of the job.
    labels: list[str] = []
    effective_settings: EffectiveSettings
    image: JobPicture | None = None
    mask: JobPicture | None = None
    callback_steps: int | None = None
    warnings: list[str] = []
    created_at: str
    #: Attempts begun, counted on disk before the device is touched.
    attempts: int = 0
    #: The first start.
    started_at: str | None = None
    completed_at: str | None = None
    #: Start of the first attempt to the end.
    duration_seconds: float | None = None
    #: Not to be claimed before this time (seconds since the epoch); set after a crash.
    not_before: float = 0.0
    #: Written before the file moves to its final directory, so that recovery can finish the move.
    outcome: Literal["completed", "failed", "cancelled"] | None = None
    #: The last error; the reason where the outcome is `failed`.
    error: JobError | None = None
    #: The job that this one repeats.
    retry_of: str | None = None
    #: Kernel boot during which the last attempt began; tells a power cut from a crashing job. None once it has ended;
    #: so where it is set in `pending`, the attempt is counted and was not begun.
    boot_id: str | None = None
    #: Attempts that a crash of the host cut short; these are not counted as attempts.
    power_cuts: int = 0

    def evolve(self, **changes: Any) -> Job:
        """A copy with some fields changed."""
        return msgspec.structs.replace(self, **changes)

    def log_context(self) -> dict[str, Any]:
        """Fields for structured logs; the prompts are shown only if the operator wants so (core/log.py)."""
        context = {"job_id": self.id, "model_id": self.model_id, "attempt": self.attempts}
        return context | {"prompt": self.prompt, "negative_prompt": self.negative_prompt}


class Phase(StrEnum):
    """What the worker is doing with a job; exactly one progress flag of the API is true for each."""

    PREPARING = "preparing"
    LOADING_MODEL = "loading_model"
    #: The loaded model is compiled; for the API a part of loading.
    WARMING_UP = "warming_up"
    GENERATING = "generating"
    SAVING = "saving"


class Progress(Struct, frozen=True, kw_only=True):
    """How far a processing job is. Disposable: never synced, and absent or unreadable reads as none."""

    phase: Phase
    attempt: int
    image_number: int = 1
    step: int = 0
    total_steps: int
    #: Mean time of a step of this run, once known.
    step_seconds: float | None = None
    updated_at: str


def encode(record: Struct) -> bytes:
    """A record as a JSON file: indented, so that people can read the spool."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
