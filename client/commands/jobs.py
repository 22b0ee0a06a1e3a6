"""Commands about jobs: list them, show one or an image, cancel them."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from client import terminal
from client.api_client import CyberImageClient
from client.commands import answering
from client.progress import describe
from client.results import Cancellation, ImageMetadata, JobStatus, Move
from client.short_ids import ShortIds
from client.tables import JOBS, print_list


def jobs(client: CyberImageClient, args: Namespace) -> None:
    """List jobs."""
    page = client.jobs(status=args.status, model=args.model, limit=args.limit, cursor=args.cursor)
    answering.show(args, page, lambda: print_list(JOBS, page.jobs))
    if page.next_cursor:
        answering.note(args, f"More with --cursor {page.next_cursor}")


def show(client: CyberImageClient, args: Namespace) -> None:
    """Everything about jobs or images."""
    ids = ShortIds(client)

    def look(text: str) -> JobStatus | ImageMetadata:
        found = ids.either(text)
        return client.metadata(found.id) if found.is_image else client.status(found.id)

    answering.each(args, args.ids, look, _in_words)


def cancel(client: CyberImageClient, args: Namespace) -> None:
    """Cancel jobs."""
    ids = ShortIds(client)

    def stop(text: str) -> Cancellation:
        return client.cancel(ids.job(text))

    answering.each(args, args.ids, stop, lambda answer: terminal.line(answer.message))


def move(client: CyberImageClient, args: Namespace) -> None:
    """Give jobs another turn; several keep the order in which they are named."""
    ids = ShortIds(client)
    before = ids.job(args.before) if args.before is not None else None

    def place(text: str) -> Move:
        if before is not None:
            return client.move(ids.job(text), before=before)
        return client.move(ids.job(text), to="back" if args.back else "front")

    # Each goes to the very front, so that the last one to go there is the first.
    named = args.ids if args.back or before is not None else args.ids[::-1]
    answering.each(args, named, place, lambda answer: terminal.line(_turn(answer)))


def _turn(moved: Move) -> str:
    behind = moved.queue_position
    where = "begins" if behind is None else "is next" if behind == 0 else f"has {behind} before it"
    return f"{moved.job_id} {where}"


def _in_words(found: Any) -> None:
    if isinstance(found, JobStatus):
        images = " ".join(image.id for image in found.images)
        answering.fields(found, images=images, progress=None if found.is_final else describe(found))
    else:
        answering.fields(found)
