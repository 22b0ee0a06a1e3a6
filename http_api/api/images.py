"""Images: the PNG, its metadata, and deleting it."""

from __future__ import annotations

import io

import falcon
from falcon import Request, Response

from http_api.api import image_view
from http_api.api.answers import DoneAnswer
from http_api.server import blocking, file_answer
from jobs.spool import Spool
from outputs import thumbnail
from outputs.store import ImageStore
from service.deletion import delete_image

#: An image never changes under its id.
_FOR_EVER = "private, max-age=31536000, immutable"


class PngResource:
    """`GET /api/get_image/<image_id>`: the PNG."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    def on_get(self, req: Request, resp: Response, image_id: str) -> None:
        """Stream the file, or a part; a reader gets all its bytes even if the image is deleted meanwhile."""
        stream, sidecar = blocking.run(lambda: self._store.open(image_id), blocking.READS)  # which may read it whole
        resp.cache_control = [_FOR_EVER]
        resp.set_header("Content-Disposition", f'inline; filename="{sidecar.id}.png"')
        file_answer.send(req, resp, stream, size=sidecar.size_bytes, etag=sidecar.sha256, content_type="image/png")

    on_head = on_get


class ThumbnailResource:
    """`GET /api/image/<image_id>/thumbnail`: a small WebP."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    def on_get(self, req: Request, resp: Response, image_id: str) -> None:
        """Send it, making it first if nobody has."""
        etag = f"{self._store.sidecar(image_id).sha256}-{thumbnail.SIDE}"
        resp.cache_control = [_FOR_EVER]
        if file_answer.is_not_modified(req, etag):
            resp.etag = etag
            resp.status = falcon.HTTP_304
            return
        webp = blocking.run(lambda: thumbnail.thumbnail(self._store, image_id), blocking.READS)
        file_answer.send(req, resp, io.BytesIO(webp), size=len(webp), etag=etag, content_type="image/webp")

    on_head = on_get


class MetadataResource:
    """`GET /api/image/<image_id>/metadata`."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    def on_get(self, req: Request, resp: Response, image_id: str) -> None:
        """What the sidecar says."""
        resp.media = image_view.metadata(self._store.sidecar(image_id))

    on_head = on_get


class ImageResource:
    """`DELETE /api/image/<image_id>`."""

    def __init__(self, spool: Spool, store: ImageStore) -> None:
        self._spool = spool
        self._store = store

    def on_delete(self, req: Request, resp: Response, image_id: str) -> None:
        """Remove the image; its job stays."""
        blocking.run(lambda: delete_image(self._spool, self._store, image_id))
        resp.media = DoneAnswer(status="success", message="Image deleted successfully")
