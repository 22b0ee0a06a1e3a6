"""A job as the API shows it: pure functions of what the files say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from http_api import image_view
from jobs.schema import Job, Phase, Progress, State
from outputs.sidecar import Sidecar

_FLAGS: Final = ("preparing", "loading_model", "generating", "saving", "completed", "failed")


class Look(Struct, frozen=True, kw_only=True):
    """One look at a job: its file, the directory it lay in, and what is known around it."""

    job: Job
    state: State
    #: None where the job does not run, or has not reported yet.
    progress: Progress | None = None
    images: Sequence[Sidecar] = ()
    #: Processing, but no process holds it.
    stalled: bool = False
    #: Pending jobs before it; None if it does not wait, or where that is not known now.
    position: int | None = None
    #: Seconds to its end, estimated; None where nothing is known to estimate from.
    eta: float | None = None
    #: Changes with the preview of the image in hand; None where there is none.
    preview: str | None = None
    #: Sentences about this look, beside the job's own warnings.
    warnings: Sequence[str] = ()


def api_status(state: State) -> str:
    """One of the four values of the API; a cancelled job reads `failed`, or old clients would poll for ever."""
    return State.FAILED.value if state is State.CANCELLED else state.value


def status(look: Look) -> dict[str, Any]:
    """The answer of `/status`; every key is always present."""
    job = look.job
    return {
        "id": job.id,
        "status": api_status(look.state),
        "model_id": job.model_id,
        "prompt": job.prompt,
        "negative_prompt": job.negative_prompt,
        "settings": job.settings,
        "effective_settings": job.effective_settings,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "message": message(look),
        "progress": progress(look),
        "images": [image_view.in_status(sidecar) for sidecar in look.images],
        "queue_position": look.position,
        "eta_seconds": None if look.eta is None else round(look.eta, 1),
        "preview_url": None if look.preview is None else f"/api/jobs/{job.id}/preview?version={look.preview}",
        "attempts": job.attempts,
        "error_message": _error_message(look),
        "error_type": _error_type(look),
        "warnings": [*job.warnings, *look.warnings],
        "duration_seconds": job.duration_seconds,
        "source": job.source,
        "retry_of": job.retry_of,
    }


def summary(job: Job, state: State) -> dict[str, Any]:
    """An entry of the list of jobs: what its file says, without its images."""
    look = Look(job=job, state=state)
    return {
        "id": job.id,
        "status": api_status(state),
        "model_id": job.model_id,
        "prompt": job.prompt,
        "negative_prompt": job.negative_prompt,
        "settings": job.settings,
        "effective_settings": job.effective_settings,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "duration_seconds": job.duration_seconds,
        "attempts": job.attempts,
        "error_message": _error_message(look),
        "error_type": _error_type(look),
        "source": job.source,
        "retry_of": job.retry_of,
    }


def progress(look: Look) -> dict[str, Any]:
    """Exactly one of the six flags is true; steps are those of the image in hand."""
    true_flag = _true_flag(look)
    flags: dict[str, Any] = {name: name == true_flag for name in _FLAGS}
    number, step = _position_within(look)
    return {
        **flags,
        "step": step,
        "total_steps": _total_steps(look),
        "image_number": number,
        "total_images": look.job.effective_settings.num_images,
    }


def message(look: Look) -> str:
    """What is going on, in a sentence."""
    if look.state is State.PENDING:
        return _pending_message(look)
    if look.state is State.PROCESSING:
        return _processing_message(look)
    if look.state is State.COMPLETED:
        return f"Generated {look.job.effective_settings.num_images} image(s)"
    return _error_message(look) or "The job failed for an unknown reason"


def _pending_message(look: Look) -> str:
    if look.job.attempts:
        return f"Waiting for attempt {look.job.attempts + 1}{_because(look.job)}"
    if look.position is None:
        return "Waiting in the queue"
    return "Next in the queue" if look.position == 0 else f"Waiting in the queue behind {look.position} job(s)"


def _because(job: Job) -> str:
    return f": {job.error.message}" if job.error else ""


def _processing_message(look: Look) -> str:
    if look.stalled:
        return "Stalled: its runner is gone"
    seen = look.progress
    if seen is None or seen.phase is Phase.PREPARING:
        return "Preparing"
    if seen.phase is Phase.LOADING_MODEL:
        return f"Loading the model {look.job.model_id}..."
    if seen.phase is Phase.WARMING_UP:
        return f"Warming up {look.job.model_id}: it is compiled before its first picture..."
    which = f"image {seen.image_number} of {look.job.effective_settings.num_images}"
    if seen.phase is Phase.SAVING:
        return f"Saving {which}..."
    return f"Generating {which}... Step {seen.step}/{seen.total_steps}"


def _true_flag(look: Look) -> str:
    if look.state is State.COMPLETED:
        return "completed"
    if look.state in (State.FAILED, State.CANCELLED):
        return "failed"
    if look.state is State.PENDING or look.progress is None:
        return Phase.PREPARING.value
    phase = look.progress.phase
    return (Phase.LOADING_MODEL if phase is Phase.WARMING_UP else phase).value


def _position_within(look: Look) -> tuple[int, int]:
    """The image in hand and its step."""
    settings = look.job.effective_settings
    if look.state is State.COMPLETED:
        return settings.num_images, settings.num_inference_steps
    if look.state is State.PENDING or look.progress is None:
        return 1, 0
    return look.progress.image_number, look.progress.step


def _total_steps(look: Look) -> int:
    if look.state is State.PROCESSING and look.progress is not None:
        return look.progress.total_steps
    return look.job.effective_settings.num_inference_steps


def _error_message(look: Look) -> str | None:
    if look.state not in (State.FAILED, State.CANCELLED):
        return None
    if look.job.error is not None:
        return look.job.error.message
    return "Cancelled on request" if look.state is State.CANCELLED else "The job failed for an unknown reason"


def _error_type(look: Look) -> str | None:
    if look.state is State.CANCELLED:
        return "cancelled"
    if look.state is State.FAILED:
        return look.job.error.type if look.job.error else "unknown"
    return None
