"""Commands about images: list, save and delete them, by id or by search."""

from __future__ import annotations

import itertools
from argparse import Namespace
from collections.abc import Iterator
from typing import NamedTuple

from client import terminal
from client.api_client import CyberImageClient, GalleryFilters
from client.commands import answering
from client.delivery import Delivery
from client.errors import NotFound
from client.exit_codes import Ended, Exit
from client.output_files import Output, Picture
from client.results import GalleryImage, JobStatus
from client.short_ids import ShortIds, short
from client.tables import IMAGES, print_list


class _Found(NamedTuple):
    """An image that was asked for, and what the name of its file may hold."""

    id: str
    seed: int
    prompt: str


def gallery(client: CyberImageClient, args: Namespace) -> None:
    """List images."""
    if args.all:
        every = client.gallery_images(**_filters(args))
        if args.json:
            images = list(every)
            terminal.document({"images": images, "total": len(images)})
        else:
            print_list(IMAGES, every)
        return
    page = client.gallery(page=args.page, limit=args.limit, **_filters(args))
    answering.show(args, page, lambda: print_list(IMAGES, page.images))
    if page.has_more:
        answering.note(args, f"{len(page.images)} of {page.total} images; --page {args.page + 1} shows more.")


def download(client: CyberImageClient, args: Namespace) -> None:
    """Save images, all that a job has, or all that a search finds."""
    output = Output(target=args.output, force=args.force)
    output.check([Picture(n=1, count=1)])
    found = list(_of_ids(client, args.ids, details=output.tells_more) if args.ids else _of_search(client, args))
    output.check([Picture(n=n, count=len(found), prompt=image.prompt, id=image.id) for n, image in enumerate(found, 1)])
    delivery = Delivery(client, output, len(found), quiet=args.json)
    try:
        for n, image in enumerate(found, start=1):
            delivery.take_image(image.id, n=n, seed=image.seed, prompt=image.prompt)
    except KeyboardInterrupt:
        delivery.names()
        saved = f"Interrupted: {len(delivery.files)} of {len(found)} pictures are saved."
        raise Ended(Exit.INTERRUPTED, saved, files=delivery.files) from None
    delivery.names()
    delivery.finish()
    answering.show(args, {"files": delivery.files}, lambda: None)


def delete(client: CyberImageClient, args: Namespace) -> None:
    """Delete images, all of a job, or all that a search finds; several only after a yes."""
    found = list(_of_ids(client, args.ids, details=False) if args.ids else _of_search(client, args))
    if len(found) > 1:
        some = "; ".join(f"{short(image.id)} {image.prompt[:30]}" for image in found[:3])
        more = "; ..." if len(found) > 3 else ""
        answering.confirmed(args, f"Delete {len(found)} images for good ({some}{more})?")

    def remove(image_id: str) -> dict[str, str]:
        client.delete(image_id)
        return {"deleted": image_id}

    answering.each(
        args, [image.id for image in found], remove, lambda answer: terminal.line(f"{answer['deleted']} is deleted")
    )


def favourite(client: CyberImageClient, args: Namespace) -> None:
    """Make images favourites, or none."""

    def mark(image_id: str) -> GalleryImage:
        return client.set_favourite(image_id, favourite=not args.remove)

    said = "is no favourite any more" if args.remove else "is a favourite"
    found = [image.id for image in _of_ids(client, args.ids, details=False)]
    answering.each(args, found, mark, lambda image: terminal.line(f"{image.id} {said}"))


def label(client: CyberImageClient, args: Namespace) -> None:
    """Give images labels, and take some away."""

    def change(image_id: str) -> GalleryImage:
        kept = [] if args.clear else [name for name in client.metadata(image_id).labels if name not in args.remove]
        return client.set_labels(image_id, dict.fromkeys([*kept, *args.add]))

    found = [image.id for image in _of_ids(client, args.ids, details=False)]
    answering.each(args, found, change, lambda image: terminal.line(f"{image.id}  {', '.join(image.labels)}".rstrip()))


def _filters(args: Namespace) -> GalleryFilters:
    return {"search": args.search, "model": args.model, "label": args.label, "favourite": args.favourite}


def _of_ids(client: CyberImageClient, texts: list[str], *, details: bool) -> Iterator[_Found]:
    """The images of ids, each once; single ones are asked for details only where their names tell them."""
    ids = ShortIds(client)
    seen: set[str] = set()
    for text in texts:
        found = ids.either(text)
        for image in [_image(client, found.id, details)] if found.is_image else _of_job(client.status(found.id)):
            if image.id not in seen:
                seen.add(image.id)
                yield image


def _image(client: CyberImageClient, image_id: str, details: bool) -> _Found:
    if not details:
        return _Found(image_id, 0, "")
    metadata = client.metadata(image_id)
    return _Found(image_id, metadata.seed or 0, metadata.prompt)


def _of_job(job: JobStatus) -> list[_Found]:
    if not job.images:
        raise NotFound(f"The job {job.id} has no images; it is {job.status}.", status=404)
    return [_Found(image.id, image.facts.seed or 0, job.prompt) for image in job.images]


def _of_search(client: CyberImageClient, args: Namespace) -> list[_Found]:
    if not any(_filters(args).values()):
        raise Ended(Exit.USAGE, f"Say which images: ids, or --search WORDS (see cyberimage {args.command} --help).")
    every: Iterator[GalleryImage] = client.gallery_images(**_filters(args))
    found = [_Found(image.id, image.seed or 0, image.prompt) for image in itertools.islice(every, args.limit)]
    if not found:
        raise NotFound("No image matches.", status=404)
    return found
