"""`POST /api/images/download`: several images as one zip file."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from io import BufferedReader
from typing import Final

import falcon
from falcon import Request, Response

from http_api.api.images import ManyImages
from http_api.server import blocking, places
from http_api.server.client_address import sender
from http_api.server.errors import ApiError
from http_api.server.event_stream import Stream
from http_api.server.request_body import read_struct
from outputs import archive
from outputs.archive import Entry
from outputs.errors import DamagedImage, ImageNotFound
from outputs.store import ImageStore

logger = logging.getLogger(__name__)

#: What a client is asked to wait, in seconds, while too many others download.
_BUSY_WAIT: Final = 5


class ArchiveResource:
    """Sends archives. Each image is compared with its checksum before its bytes are sent, as when it is sent alone."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    def on_post(self, req: Request, resp: Response) -> None:
        """Begin to send; raises ImageNotFound for the first image that is not there, before anything is sent."""
        ids = read_struct(req, ManyImages).ids
        files = blocking.run(lambda: archive.entries(self._store, ids), blocking.READS)
        place = places.DOWNLOADS.take(sender(req).key)
        if place is None:
            raise ApiError(falcon.HTTP_503, "Too many downloads are under way; try again shortly.", wait=_BUSY_WAIT)
        resp.content_type = "application/zip"
        resp.content_length = archive.size_of(files)
        resp.set_header("Content-Disposition", f'attachment; filename="{files[0].name[:10]}-{len(files)}-images.zip"')
        resp.stream = Stream(self._send(files), place.free)

    def _send(self, files: list[Entry]) -> Iterator[bytes]:
        try:
            yield from archive.stream(files, self._open)
        except (ImageNotFound, DamagedImage, OSError) as error:
            # Its length was promised, so all that can be done is to break the connection: the client sees that.
            logger.warning("An archive could not be sent to its end: %s", error)
            raise ConnectionResetError(errno.ECONNRESET, "the archive ended early") from error

    def _open(self, image_id: str) -> BufferedReader:
        return blocking.run(lambda: self._store.open(image_id)[0], blocking.ARCHIVES)
