"""Answers with the bytes of a file: conditional requests, HEAD, and ranges (RFC 9110)."""

from __future__ import annotations

import os
import re
from typing import BinaryIO, Final

import falcon
from falcon import Request, Response

from http_api.server import places
from http_api.server.client_address import sender
from http_api.server.errors import ApiError

#: What a client is asked to wait, in seconds, while too many others download.
_BUSY_WAIT: Final = 5
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


class _Part:
    """The next `length` bytes of a stream, as something that a WSGI server reads and closes."""

    def __init__(self, stream: BinaryIO, length: int, place: places.Place) -> None:
        self._stream = stream
        self._left = length
        self._place = place

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes, all that is left if negative or None."""
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        data = self._stream.read(wanted)
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Close the stream, and let another client download."""
        self._stream.close()
        self._place.free()


def send(req: Request, resp: Response, stream: BinaryIO, *, size: int, etag: str, content_type: str) -> None:
    """Answer with `stream`, of `size` bytes, whose content `etag` stands for; closes it in the end.

    Only what the client lacks is sent: nothing if it has this content, a part if it asks for one.
    Raises ApiError 416 for a part that lies outside, and 503 while too many others download.
    """
    resp.etag = etag
    resp.accept_ranges = "bytes"
    if is_not_modified(req, etag):
        stream.close()
        resp.status = falcon.HTTP_304
        return
    resp.content_type = content_type
    try:
        start, length = _part(req, resp, size, etag)
    except ApiError:
        stream.close()
        raise
    _send_part(req, resp, stream, start, length)


def is_not_modified(req: Request, etag: str) -> bool:
    """Whether the client has the content already (If-None-Match)."""
    known = req.if_none_match or []
    return any(tag == "*" or tag == etag for tag in known)


def _part(req: Request, resp: Response, size: int, etag: str) -> tuple[int, int]:
    """Where the answer begins and how long it is; a Range that cannot be read is ignored, as the RFC says."""
    match = _RANGE.fullmatch((req.get_header("Range") or "").replace(" ", ""))
    condition = req.get_header("If-Range")
    if not match or not (match[1] or match[2]) or (condition is not None and condition != f'"{etag}"'):
        return 0, size
    start, end = _bounds(match[1], match[2], size)
    if start > end:
        resp.set_header("Content-Range", f"bytes */{size}")
        raise ApiError(falcon.HTTP_416, f"The range lies outside of the {size} bytes of the file.")
    resp.status = falcon.HTTP_206
    resp.set_header("Content-Range", f"bytes {start}-{end}/{size}")
    return start, end - start + 1


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """The first and the last byte; `-n` are the last n."""
    if not first:
        return max(0, size - int(last)) if int(last) else size, size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


def _send_part(req: Request, resp: Response, stream: BinaryIO, start: int, length: int) -> None:
    if req.method == "HEAD":
        stream.close()
        resp.content_length = length
        return
    place = places.DOWNLOADS.take(sender(req).key)
    if place is None:
        stream.close()
        raise ApiError(falcon.HTTP_503, "Too many downloads are under way; try again shortly.", wait=_BUSY_WAIT)
    stream.seek(start, os.SEEK_SET)
    resp.set_stream(_Part(stream, length, place), length)
