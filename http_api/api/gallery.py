"""`GET /api/gallery`: all images, searchable; `GET /api/labels`: what they are called."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from falcon import Request, Response
from msgspec import Meta, Struct

from http_api.api import image_view
from http_api.api.answers import GalleryAnswer, LabelCount, LabelsAnswer
from http_api.server import blocking
from http_api.server.query import Text, capped
from jobs import ids
from jobs.errors import JobNotFound
from jobs.spool import Spool
from outputs.index.image_index import GalleryPage, ImageIndex

_MAX_LIMIT: Final = 50
_MAX_LABELS: Final = 1000


class Sort(StrEnum):
    """In which order images come."""

    NEWEST = "newest"
    OLDEST = "oldest"


class GalleryQuery(Struct, frozen=True, kw_only=True):
    """The parameters of `GET /api/gallery`."""

    page: Annotated[int, Meta(ge=1, le=1_000_000, description="Page number")] = 1
    limit: Annotated[int, capped(1, _MAX_LIMIT, f"Images per page; more than {_MAX_LIMIT} gives {_MAX_LIMIT}")] = 20
    search: Annotated[Text, Meta(description="Every word must occur in the prompt or the model")] = ""
    model: Annotated[Text | None, Meta(description="Only images of this model")] = None
    favourite: Annotated[bool, Meta(description="Only favourites")] = False
    label: Annotated[Text | None, Meta(description="Only images with this label")] = None
    job: Annotated[Text | None, Meta(description="Only images of the job with this id")] = None
    sort: Annotated[Sort, Meta(description="Which images come first, by when their jobs were accepted")] = Sort.NEWEST
    cursor: Annotated[Text | None, Meta(description="The next_cursor of the page before, instead of `page`")] = None


class GalleryResource:
    """Pages of the gallery."""

    def __init__(self, images: ImageIndex, spool: Spool) -> None:
        self._images = images
        self._spool = spool

    def on_get(self, req: Request, resp: Response, query: GalleryQuery) -> None:
        """One page."""
        found = blocking.run(lambda: self._page(query), blocking.SEARCHES if query.search else blocking.READS)
        resp.media = GalleryAnswer(
            images=[image_view.in_gallery(sidecar) for sidecar in found.images],
            page=query.page,
            limit=query.limit,
            has_more=found.has_more,
            total=found.total,
            next_cursor=found.next_cursor,
        )

    on_head = on_get

    def _page(self, query: GalleryQuery) -> GalleryPage:
        return self._images.page(
            page=query.page,
            limit=query.limit,
            search=query.search,
            model=query.model,
            favourite=query.favourite,
            label=query.label,
            order=None if query.job is None else self._order_of(query.job),
            oldest_first=query.sort is Sort.OLDEST,
            cursor=query.cursor,
        )

    def _order_of(self, job_id: str) -> str:
        """The order of a job, which its images are named by; raises JobNotFound."""
        try:
            return self._spool.find(job_id)[1].order
        except JobNotFound:
            if ids.is_order(job_id):  # its file is gone, its images may be there
                return job_id
            raise


class LabelResource:
    """`GET /api/labels`."""

    def __init__(self, images: ImageIndex) -> None:
        self._images = images

    def on_get(self, req: Request, resp: Response) -> None:
        """The labels of most images first."""
        found = blocking.run(lambda: self._images.labels(_MAX_LABELS), blocking.READS)
        resp.media = LabelsAnswer(labels=[LabelCount(label=label, images=images) for label, images in found])

    on_head = on_get
