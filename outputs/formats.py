"""Stored pictures in other formats, with the line of parameters that their PNG carries."""

from __future__ import annotations

import io
from typing import Any, Final, Literal

from PIL import Image

from outputs.png import PARAMETERS

Format = Literal["png", "jpeg", "webp"]
#: What a PNG begins with.
_PNG: Final = b"\x89PNG\r\n\x1a\n"
#: Where tools look for the line in formats without text chunks: the user comment of EXIF (CIPA DC-008, 4.6.5).
_EXIF_IFD: Final = 0x8769
_USER_COMMENT: Final = 0x9286
#: The character code of that comment; tools write big-endian UTF-16 behind it.
_UNICODE: Final = b"UNICODE\x00"
#: JPEG keeps EXIF in one segment of 64 KiB.
_MOST_COMMENT: Final = 60_000


def convert(stored: bytes, target: Format, quality: int = 100) -> bytes:
    """A stored PNG or a preview in another format; a PNG that is asked for as one stays as it is, byte for byte.

    `quality` is from 0 to 100; 100 of WebP is lossless. The line of parameters goes along where the file has one.
    Raises OSError where `stored` is no picture.
    """
    if target == "png" and stored.startswith(_PNG):
        return stored
    with Image.open(io.BytesIO(stored), formats=("PNG", "WEBP")) as image:
        line = getattr(image, "text", {}).get(PARAMETERS)
        picture = image.convert("RGB")
    stream = io.BytesIO()
    picture.save(stream, target.upper(), **_options(target, quality, line))
    return stream.getvalue()


def _options(target: Format, quality: int, line: str | None) -> dict[str, Any]:
    if target == "png":
        return {"compress_level": 1}
    exif = _exif(line) if line else {}
    if target == "webp" and quality == 100:
        return {"lossless": True, **exif}
    return {"quality": quality, **({"subsampling": 0} if target == "jpeg" and quality >= 90 else {}), **exif}


def _exif(line: str) -> dict[str, Any]:
    comment = _UNICODE + line.encode("utf-16-be")
    if len(comment) > _MOST_COMMENT:
        return {}
    exif = Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = comment
    return {"exif": exif.tobytes()}


def comment_of(exif: Image.Exif) -> str | None:
    """The line that `convert` wrote, or another tool in the same way; None if there is none."""
    comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    if not isinstance(comment, bytes) or not comment.startswith(_UNICODE):
        return None
    return comment.removeprefix(_UNICODE).decode("utf-16-be", errors="replace")
