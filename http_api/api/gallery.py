"""`GET /api/gallery`: all images, newest first, searchable."""

from __future__ import annotations

from falcon import Request, Response

from http_api.api import image_view
from http_api.server import blocking
from http_api.server.query import Query
from outputs.index.image_index import ImageIndex

MAX_LIMIT = 50
_MAX_PAGE = 1_000_000


class GalleryResource:
    """Pages of the gallery."""

    def __init__(self, images: ImageIndex) -> None:
        self._images = images

    def on_get(self, req: Request, resp: Response) -> None:
        """One page; a limit above 50 is served as 50."""
        query = Query(req, "page", "limit", "search", "model")
        page = query.integer("page", 1, 1, _MAX_PAGE)
        limit = query.integer("limit", 20, 1, MAX_LIMIT, is_capped=True)
        search, model = query.text("search") or "", query.text("model")
        found = blocking.run(lambda: self._images.page(page=page, limit=limit, search=search, model=model))
        resp.media = {
            "images": [image_view.in_gallery(sidecar) for sidecar in found.images],
            "page": page,
            "limit": limit,
            "has_more": found.has_more,
            "total": found.total,
        }

    on_head = on_get
