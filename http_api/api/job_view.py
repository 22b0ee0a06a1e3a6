"""A job as the API shows it: pure functions of what the files say."""

from __future__ import annotations

from typing import Any, cast

from http_api.api import image_view
from http_api.api.answers import JobSummary, ProgressAnswer, Status, StatusAnswer, with_fields_of
from jobs.schema import Job, Phase, State
from service.snapshot import JobSnapshot


def api_status(state: State) -> Status:
    """One of the four values of the API."""
    return cast("Status", state.shown_as)


def status(snapshot: JobSnapshot) -> StatusAnswer:
    """The answer of `/status`; every key is always present."""
    job = snapshot.job
    return with_fields_of(
        job,
        StatusAnswer,
        **_computed(snapshot),
        message=message(snapshot),
        progress=progress(snapshot),
        images=[image_view.in_status(sidecar) for sidecar in snapshot.images],
        queue_position=snapshot.position,
        eta_seconds=None if snapshot.eta is None else round(snapshot.eta, 1),
        preview_url=None if snapshot.preview is None else f"/api/jobs/{job.id}/preview?version={snapshot.preview}",
        warnings=[*job.warnings, *snapshot.warnings],
    )


def summary(job: Job, state: State) -> JobSummary:
    """An entry of the list of jobs: what its file says, without its images."""
    return with_fields_of(job, JobSummary, **_computed(JobSnapshot(job=job, state=state)))


def _computed(snapshot: JobSnapshot) -> dict[str, Any]:
    """The fields of a summary that the job's file does not have as they are."""
    return {
        "status": api_status(snapshot.state),
        "error_message": _error_message(snapshot),
        "error_type": _error_type(snapshot),
    }


def progress(snapshot: JobSnapshot) -> ProgressAnswer:
    """Exactly one of the six flags is true; steps are those of the current image."""
    true_flag = _true_flag(snapshot)
    number, step = _position_within(snapshot)
    return ProgressAnswer(
        preparing=true_flag == "preparing",
        loading_model=true_flag == "loading_model",
        generating=true_flag == "generating",
        saving=true_flag == "saving",
        completed=true_flag == "completed",
        failed=true_flag == "failed",
        step=step,
        total_steps=_total_steps(snapshot),
        image_number=number,
        total_images=snapshot.job.effective_settings.num_images,
    )


def message(snapshot: JobSnapshot) -> str:
    """What is going on, in a sentence."""
    if snapshot.state is State.PENDING:
        return _pending_message(snapshot)
    if snapshot.state is State.PROCESSING:
        return _processing_message(snapshot)
    if snapshot.state is State.COMPLETED:
        return f"Generated {snapshot.job.effective_settings.num_images} image(s)"
    return _error_message(snapshot) or "The job failed for an unknown reason"


def _pending_message(snapshot: JobSnapshot) -> str:
    if snapshot.paused:
        return "Waiting: the queue is paused"
    if snapshot.job.attempts:
        return f"Waiting for attempt {snapshot.job.attempts + 1}{_because(snapshot.job)}"
    if snapshot.position is None:
        return "Waiting in the queue"
    return "Next in the queue" if snapshot.position == 0 else f"Waiting in the queue behind {snapshot.position} job(s)"


def _because(job: Job) -> str:
    return f": {job.error.message}" if job.error else ""


def _processing_message(snapshot: JobSnapshot) -> str:
    if snapshot.stalled:
        return "Stalled: its runner is gone"
    seen = snapshot.progress
    if seen is None or seen.phase is Phase.PREPARING:
        return "Preparing"
    if seen.phase is Phase.LOADING_MODEL:
        return f"Loading the model {snapshot.job.model_id}..."
    if seen.phase is Phase.WARMING_UP:
        return f"Warming up {snapshot.job.model_id}: it is compiled before its first picture..."
    which = f"image {seen.image_number} of {snapshot.job.effective_settings.num_images}"
    if seen.phase is Phase.SAVING:
        return f"Saving {which}..."
    return f"Generating {which}... Step {seen.step}/{seen.total_steps}"


def _true_flag(snapshot: JobSnapshot) -> str:
    if snapshot.state is State.COMPLETED:
        return "completed"
    if snapshot.state.is_final:
        return "failed"
    if snapshot.state is not State.PROCESSING or snapshot.progress is None:
        return Phase.PREPARING.value
    phase = snapshot.progress.phase
    return (Phase.LOADING_MODEL if phase is Phase.WARMING_UP else phase).value


def _position_within(snapshot: JobSnapshot) -> tuple[int, int]:
    """The current image and its step."""
    settings = snapshot.job.effective_settings
    if snapshot.state is State.COMPLETED:
        return settings.num_images, settings.drawn_steps
    if snapshot.state is State.PENDING or snapshot.progress is None:
        return 1, 0
    return snapshot.progress.image_number, snapshot.progress.step


def _total_steps(snapshot: JobSnapshot) -> int:
    if snapshot.state is State.PROCESSING and snapshot.progress is not None:
        return snapshot.progress.total_steps
    return snapshot.job.effective_settings.drawn_steps


def _error_message(snapshot: JobSnapshot) -> str | None:
    if snapshot.state.shown_as != State.FAILED:
        return None
    if snapshot.job.error is not None:
        return snapshot.job.error.message
    return "Cancelled on request" if snapshot.state is State.CANCELLED else "The job failed for an unknown reason"


def _error_type(snapshot: JobSnapshot) -> str | None:
    if snapshot.state.shown_as != State.FAILED:
        return None
    if snapshot.state is not State.FAILED:
        return snapshot.state.value
    return snapshot.job.error.type if snapshot.job.error else "unknown"
