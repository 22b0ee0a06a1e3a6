"""`POST /sdapi/v1/png-info`: the parameters that are written in a picture."""

from __future__ import annotations

import io
from typing import Annotated, Final

from falcon import Request, Response
from msgspec import Meta, Struct

from core.errors import InvalidRequest
from core.strict_json import SIZE_LIMIT
from http_api.a1111.answers import PngInfoAnswer
from http_api.a1111.drawing import decoded
from http_api.server import blocking
from http_api.server.request_body import read_json
from http_api.translation import read_json as read_body
from jobs.pictures import MOST_BYTES
from outputs import a1111
from outputs.formats import comment_of
from outputs.png import PARAMETERS

INFO_LIMIT: Final = MOST_BYTES * 4 // 3 + SIZE_LIMIT


class PngInfoBody(Struct, frozen=True, kw_only=True):
    """The body of `POST /sdapi/v1/png-info`."""

    image: Annotated[str, Meta(description="A picture in base64, perhaps as a data URL")]


class PngInfoResource:
    """Reads the head of a picture; its pixels are not decoded."""

    def on_post(self, req: Request, resp: Response) -> None:
        """The texts in it."""
        picture = decoded(read_body(read_json(req), PngInfoBody).image, "image")
        items = blocking.run(lambda: _texts(picture), blocking.PICTURES)
        line = items.get(PARAMETERS, "")
        resp.media = PngInfoAnswer(info=line, items=items, parameters=a1111.parse(line) if line else {})


def _texts(picture: bytes) -> dict[str, str]:
    from PIL import Image, UnidentifiedImageError  # not needed by most workers' first requests

    try:
        with Image.open(io.BytesIO(picture), formats=("PNG", "JPEG", "WEBP")) as opened:
            texts = {str(key): str(value) for key, value in opened.info.items() if isinstance(value, str)}
            line = texts.get(PARAMETERS) or comment_of(opened.getexif())
    except UnidentifiedImageError as error:
        raise InvalidRequest("image is no PNG, JPEG or WebP picture; send one of these.", "image") from error
    except Exception as error:  # Pillow's parsers raise whatever they stumble over
        raise InvalidRequest("image cannot be read; it may be truncated or damaged.", "image") from error
    return texts | ({PARAMETERS: line} if line else {})
