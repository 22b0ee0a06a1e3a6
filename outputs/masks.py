"""Masks as other tools send them, turned into ours: grey, white where the picture is to be drawn anew."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from core.errors import InvalidRequest

if TYPE_CHECKING:
    from PIL import Image


def from_transparency(png: bytes, field: str) -> bytes:
    """The mask that a clean PNG means by what can be seen through; raises InvalidRequest where nothing can."""
    from PIL import Image, ImageOps  # not needed by most workers' first requests

    with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
        if "A" not in picture.getbands():
            raise InvalidRequest(f"{field} has no transparent part; make transparent what is to be drawn anew.", field)
        return _encoded(ImageOps.invert(picture.getchannel("A")))


def inverted(png: bytes) -> bytes:
    """The mask that keeps what a clean PNG would draw anew, and the other way round."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
        return _encoded(ImageOps.invert(picture.convert("L")))


def _encoded(mask: Image.Image) -> bytes:
    stream = io.BytesIO()
    mask.save(stream, "PNG", compress_level=1)
    return stream.getvalue()
