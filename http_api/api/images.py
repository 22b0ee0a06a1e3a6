"""Images: the PNG, its metadata, what people say of it, and deleting it."""

from __future__ import annotations

import io
from functools import partial
from typing import Annotated, Final

import falcon
from falcon import Request, Response
from msgspec import Meta, Struct

from core.explain import EXPECTED
from http_api.api import image_view
from http_api.api.answers import DeletedAnswer, DoneAnswer
from http_api.server import blocking, file_answer
from http_api.server.request_body import read_struct
from jobs.requests import distinct
from jobs.schema import Labels
from jobs.spool import Spool
from outputs import thumbnail
from outputs.errors import ImageNotFound
from outputs.store import ImageStore
from service.deletion import delete_image

#: Images that one request may concern.
MOST_IMAGES: Final = 500
#: An image never changes under its id.
_FOR_EVER = "private, max-age=31536000, immutable"


class LabelRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `PUT /api/image/<image_id>/labels`."""

    labels: Labels


class PngResource:
    """`GET /api/get_image/<image_id>`: the PNG."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    def on_get(self, req: Request, resp: Response, image_id: str) -> None:
        """Stream the file, or a part; a reader gets all its bytes even if the image is deleted meanwhile.

        The id may end in `.png`, for clients that take the name of a file from the address.
        """
        image_id = image_id.removesuffix(".png")
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
        thumbnail.prepare()
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


class FavouriteResource:
    """`PUT` and `DELETE /api/image/<image_id>/favourite`."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    def on_put(self, req: Request, resp: Response, image_id: str) -> None:
        """Make it a favourite; again is fine."""
        self._set(resp, image_id, is_favourite=True)

    def on_delete(self, req: Request, resp: Response, image_id: str) -> None:
        """Make it none; again is fine."""
        self._set(resp, image_id, is_favourite=False)

    def _set(self, resp: Response, image_id: str, *, is_favourite: bool) -> None:
        sidecar = blocking.run(lambda: self._store.annotate(image_id, favourite=is_favourite))
        resp.media = image_view.in_gallery(sidecar)


class ImageLabelResource:
    """`PUT /api/image/<image_id>/labels`."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    def on_put(self, req: Request, resp: Response, image_id: str) -> None:
        """Replace its labels."""
        labels = distinct(read_struct(req, LabelRequest).labels)
        resp.media = image_view.in_gallery(blocking.run(lambda: self._store.annotate(image_id, labels=labels)))


class ManyImages(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of what concerns several images."""

    ids: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=100)]],
        Meta(
            min_length=1,
            max_length=MOST_IMAGES,
            description="Image ids",
            extra={EXPECTED: f"a list of 1 to {MOST_IMAGES} image ids"},
        ),
    ]


class DeleteImagesResource:
    """`POST /api/images/delete`."""

    def __init__(self, spool: Spool, store: ImageStore) -> None:
        self._spool = spool
        self._store = store

    def on_post(self, req: Request, resp: Response) -> None:
        """Remove the images; those that are gone count as done."""
        ids = dict.fromkeys(read_struct(req, ManyImages).ids)
        deleted = sum(blocking.run(partial(self._delete, image_id)) for image_id in ids)
        resp.media = DeletedAnswer(status="success", message=f"Deleted {deleted} images", deleted=deleted)

    def _delete(self, image_id: str) -> bool:
        try:
            delete_image(self._spool, self._store, image_id)
        except ImageNotFound:
            return False
        return True


class ImageResource:
    """`DELETE /api/image/<image_id>`."""

    def __init__(self, spool: Spool, store: ImageStore) -> None:
        self._spool = spool
        self._store = store

    def on_delete(self, req: Request, resp: Response, image_id: str) -> None:
        """Remove the image; its job stays."""
        blocking.run(lambda: delete_image(self._spool, self._store, image_id))
        resp.media = DoneAnswer(status="success", message="Image deleted successfully")
