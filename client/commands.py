"""The commands: each asks the server and shows what it answers."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from client import terminal
from client.api_client import CyberImageClient
from client.errors import ClientError, NotFound
from client.output_files import Output
from client.results import JobImage, JobStatus, Submission
from client.settings import NAMES, PictureSettings

Command = Callable[[CyberImageClient, Namespace], None]


def generate(client: CyberImageClient, args: Namespace) -> None:
    """Draw pictures, and save them unless told not to wait."""
    output = _output(args)
    if not args.no_wait:
        output.check(args.num_images or 1)
    prompt = args.prompt
    if args.enrich is not None:
        prompt = client.enrich(prompt, args.enrich).enriched_prompt
        _note(args, f"prompt: {prompt}")
    settings: dict[str, Any] = {name: getattr(args, name) for name in NAMES}
    if args.size:
        settings["width"], settings["height"] = args.size
    accepted = client.generate(
        prompt, model=args.model, negative_prompt=args.negative, **cast("PictureSettings", settings)
    )
    _accepted(client, args, accepted, wait=not args.no_wait)


def submit(client: CyberImageClient, args: Namespace) -> None:
    """Send a file's content as a job."""
    content = sys.stdin.buffer.read() if args.file == "-" else Path(args.file).read_bytes()
    if args.wait:
        _output(args).check(1)
    _accepted(client, args, client.submit(content), wait=args.wait)


def retry(client: CyberImageClient, args: Namespace) -> None:
    """Submit an old job again."""
    _accepted(client, args, client.retry(args.id), wait=False)


def wait(client: CyberImageClient, args: Namespace) -> None:
    """Follow a job that somebody submitted; an interruption leaves it alone."""
    _output(args).check(1)
    _save(client, args, _follow(client, args, args.id))


def _accepted(client: CyberImageClient, args: Namespace, accepted: Submission, *, wait: bool) -> None:
    for warning in accepted.warnings:
        _note(args, f"note: {warning}")
    if not wait:
        _show(args, accepted, lambda: terminal.line(accepted.job_id))
        return
    try:
        job = _follow(client, args, accepted.job_id)
    except KeyboardInterrupt:
        _cancel_interrupted(client, accepted.job_id)
        raise
    _save(client, args, job)


def _follow(client: CyberImageClient, args: Namespace, job_id: str) -> JobStatus:
    with terminal.following(quiet=args.json) as tell:
        return client.wait(job_id, on_progress=tell)


def _cancel_interrupted(client: CyberImageClient, job_id: str) -> None:
    try:
        client.cancel(job_id)
    except ClientError as error:
        terminal.note(f"The job {job_id} was not cancelled: {error}")
    else:
        terminal.note(f"Interrupted; the job {job_id} is cancelled.")


def _save(client: CyberImageClient, args: Namespace, job: JobStatus) -> None:
    files = _download_all(client, args, job.images)
    _show(args, {"job": job, "files": files}, lambda: terminal.lines(files))


def _download_all(client: CyberImageClient, args: Namespace, images: list[JobImage]) -> list[str]:
    output = _output(args)
    return [_download(client, output, image.id, number, len(images)) for number, image in enumerate(images, start=1)]


def _download(client: CyberImageClient, output: Output, image_id: str, number: int, count: int) -> str:
    path = output.path(image_id, number, count)
    output.write(path, client.image(image_id))
    return str(path)


def download(client: CyberImageClient, args: Namespace) -> None:
    """Save an image, or all that a job has."""
    _output(args).check(1)
    if _is_image(args.id):
        files = [_download(client, _output(args), args.id, 1, 1)]
    else:
        job = client.status(args.id)
        if not job.images:
            raise NotFound(f"The job {args.id} has no images; it is {job.status}.", status=404)
        files = _download_all(client, args, job.images)
    _show(args, {"files": files}, lambda: terminal.lines(files))


def show(client: CyberImageClient, args: Namespace) -> None:
    """Everything about a job or an image."""
    if _is_image(args.id):
        metadata = client.metadata(args.id)
        _show(args, metadata, lambda: _fields(metadata))
    else:
        job = client.status(args.id)
        _show(args, job, lambda: _fields(job, images=" ".join(image.id for image in job.images), progress=None))


def cancel(client: CyberImageClient, args: Namespace) -> None:
    """Cancel a job."""
    answer = client.cancel(args.id)
    _show(args, answer, lambda: terminal.line(answer.message))


def delete(client: CyberImageClient, args: Namespace) -> None:
    """Delete an image."""
    client.delete(args.id)
    _show(args, {"deleted": args.id}, lambda: terminal.line(f"{args.id} is deleted"))


def enrich(client: CyberImageClient, args: Namespace) -> None:
    """Print a fuller prompt."""
    answer = client.enrich(args.prompt, args.style)
    for warning in answer.warnings:
        _note(args, f"note: {warning}")
    _show(args, answer, lambda: terminal.line(answer.enriched_prompt))


def models(client: CyberImageClient, args: Namespace) -> None:
    """List the catalog."""
    catalog = client.models()
    rows = [
        (f"{name}{'*' if name == catalog.default else ''}", "yes" if model.available else "no", model.description)
        for name, model in catalog.models.items()
    ]
    _show(args, catalog, lambda: terminal.table(("model", "available", "description"), rows))


def queue(client: CyberImageClient, args: Namespace) -> None:
    """Count the jobs."""
    counts = client.queue(detailed=args.detailed)
    _show(args, counts, lambda: _fields(counts, recent_24h=None, models=None))
    if not args.json:
        more = {"last 24 hours": counts.recent_24h, **(counts.models or {})} if counts.recent_24h else {}
        states = ("pending", "processing", "completed", "failed", "cancelled", "total")
        rows = [(name, *(getattr(n, state) for state in states)) for name, n in more.items() if n]
        if rows:
            terminal.table(("", *states), rows)


def gallery(client: CyberImageClient, args: Namespace) -> None:
    """List images."""
    answer: Any
    if args.all:
        images = list(client.gallery_images(search=args.search, model=args.model))
        answer = {"images": images, "total": len(images)}
    else:
        answer = client.gallery(page=args.page, limit=args.limit, search=args.search, model=args.model)
        images = answer.images
        if answer.has_more:
            _note(args, f"{len(images)} of {answer.total} images; --page {args.page + 1} shows more.")
    rows = [(image.id, image.created_at, image.model_id, image.prompt) for image in images]
    _show(args, answer, lambda: terminal.table(("image", "made", "model", "prompt"), rows))


def jobs(client: CyberImageClient, args: Namespace) -> None:
    """List jobs."""
    page = client.jobs(status=args.status, model=args.model, limit=args.limit, cursor=args.cursor)
    if page.next_cursor:
        _note(args, f"More with --cursor {page.next_cursor}")
    rows = [(job.id, job.created_at, job.error_type or job.status, job.model_id, job.prompt) for job in page.jobs]
    _show(args, page, lambda: terminal.table(("job", "accepted", "status", "model", "prompt"), rows))


def reset_queue(client: CyberImageClient, args: Namespace) -> None:
    """Bring stalled jobs back."""
    answer = client.reset_queue()
    _show(args, answer, lambda: terminal.line(answer.message))


def _show(args: Namespace, answer: Any, in_words: Callable[[], object]) -> None:
    if args.json:
        terminal.document(answer)
    else:
        in_words()


def _note(args: Namespace, text: str) -> None:
    if not args.json:
        terminal.note(text)


def _fields(record: Any, **instead: object) -> None:
    values = {name: getattr(record, name) for name in record.__struct_fields__} | instead
    terminal.fields([(name, value) for name, value in values.items() if value not in ("", [], {})])


def _output(args: Namespace) -> Output:
    return Output(target=args.output, force=args.force)


def _is_image(identifier: str) -> bool:
    return identifier.startswith("img_")


COMMANDS: Final[dict[str, Command]] = {
    "generate": generate,
    "submit": submit,
    "enrich": enrich,
    "wait": wait,
    "cancel": cancel,
    "retry": retry,
    "jobs": jobs,
    "show": show,
    "gallery": gallery,
    "download": download,
    "delete": delete,
    "models": models,
    "queue": queue,
    "reset-queue": reset_queue,
}
