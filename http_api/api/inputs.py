"""Pictures that come in: send one, and see what was made of it."""

from __future__ import annotations

import io
from typing import Annotated, Final

import falcon
from falcon import Request, Response
from msgspec import Meta, Struct

from http_api.api.answers import with_fields_of
from http_api.server import blocking, file_answer
from http_api.server.client_address import sender
from http_api.server.request_body import FORM_BYTES, read_file
from jobs.pictures import MOST_BYTES
from outputs.inputs import InputStore, StoredInput
from service.uploads import Uploads

#: What a picture may be sent as; what it is, its bytes tell.
KINDS: Final = ("image/png", "image/jpeg", "image/webp", "application/octet-stream")
BODY_LIMIT: Final = MOST_BYTES + FORM_BYTES
_FOR_EVER: Final = "private, max-age=31536000, immutable"


class InputAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A picture came in, and was made a PNG in sRGB, upright, without anything but its pixels."""

    id: Annotated[str, Meta(description="What `image` and `mask` of a request may name")]
    sha256: Annotated[str, Meta(description="Of the PNG")]
    width: int
    height: int
    size_bytes: int


class InputsResource:
    """`POST /api/inputs`."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    def on_post(self, req: Request, resp: Response) -> None:
        """Store the picture and answer its id; again is the same."""
        raw, client = read_file(req, KINDS), sender(req)
        stored = self._stored(raw, client.key, is_own_machine=client.is_own_machine)
        resp.set_header("Location", f"{req.context.prefix}/api/inputs/{stored.id}")
        resp.media = with_fields_of(stored, InputAnswer)

    def _stored(self, raw: bytes, client: str, *, is_own_machine: bool) -> StoredInput:
        png = blocking.run(lambda: self._uploads.clean(raw), blocking.PICTURES)
        return blocking.run(lambda: self._uploads.store(png, client, is_own_machine=is_own_machine))


class InputResource:
    """`GET /api/inputs/<input_id>`."""

    def __init__(self, store: InputStore) -> None:
        self._store = store

    def on_get(self, req: Request, resp: Response, input_id: str) -> None:
        """The PNG that was made of what came in."""
        png = blocking.run(lambda: self._store.read(input_id), blocking.READS)
        resp.cache_control = [_FOR_EVER]
        etag = input_id.removeprefix("in_")
        file_answer.send(req, resp, io.BytesIO(png), size=len(png), etag=etag, content_type=falcon.MEDIA_PNG)

    on_head = on_get
