"""`GET /api/gallery`: all images, newest first, searchable."""

from __future__ import annotations

from typing import Annotated, Final

from falcon import Request, Response
from msgspec import Meta, Struct

from http_api.api import image_view
from http_api.api.answers import GalleryAnswer
from http_api.server import blocking
from http_api.server.query import Text, capped
from outputs.index.image_index import ImageIndex

_MAX_LIMIT: Final = 50


class GalleryQuery(Struct, frozen=True, kw_only=True):
    """The parameters of `GET /api/gallery`."""

    page: Annotated[int, Meta(ge=1, le=1_000_000, description="Page number")] = 1
    limit: Annotated[int, capped(1, _MAX_LIMIT, f"Images per page; more than {_MAX_LIMIT} gives {_MAX_LIMIT}")] = 20
    search: Annotated[Text, Meta(description="Every word must occur in the prompt or the model")] = ""
    model: Annotated[Text | None, Meta(description="Only images of this model")] = None
    cursor: Annotated[Text | None, Meta(description="The next_cursor of the page before, instead of `page`")] = None


class GalleryResource:
    """Pages of the gallery."""

    def __init__(self, images: ImageIndex) -> None:
        self._images = images

    def on_get(self, req: Request, resp: Response, query: GalleryQuery) -> None:
        """One page."""
        found = blocking.run(
            lambda: self._images.page(
                page=query.page, limit=query.limit, search=query.search, model=query.model, cursor=query.cursor
            ),
            blocking.SEARCHES if query.search else blocking.READS,
        )
        resp.media = GalleryAnswer(
            images=[image_view.in_gallery(sidecar) for sidecar in found.images],
            page=query.page,
            limit=query.limit,
            has_more=found.has_more,
            total=found.total,
            next_cursor=found.next_cursor,
        )

    on_head = on_get
