"""Untrusted bytes to a clean picture: checked before it is decoded, and all that is no pixel left behind.

Pillow decodes in its own C code, without the GIL; nothing here loads torch. What comes out is in sRGB, upright, 8 bits
a channel, and is grey, RGB or RGBA: the alpha channel stays where any pixel is not opaque.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from core.errors import InvalidRequest
from jobs.pictures import MOST_BYTES, UnreadablePicture

if TYPE_CHECKING:
    from PIL import Image

#: The most pixels: a photo of 24 megapixels. Decoding one, turning it and encoding it anew takes some 300 MB.
MOST_PIXELS: Final = 25_000_000
#: The longest side, as that of pictures that are drawn.
LONGEST_SIDE: Final = 16384
#: What is decoded. Of JPEG files with further pictures behind the first one, as phones write them, the first is taken.
_FORMATS: Final = ("PNG", "JPEG", "WEBP")
#: Level 1 of zlib, as for the pictures that are drawn.
_COMPRESSION: Final = 1


def clean_png(raw: bytes, field: str) -> bytes:
    """The picture in `raw` as a PNG of ours; the same picture gives the same bytes.

    Raises InvalidRequest: UnreadablePicture where it would help if there were more of it.

    `field` is what the sentences about it begin with, as `image`. Takes up to seconds.
    """
    if len(raw) > MOST_BYTES:
        raise InvalidRequest(f"{field} has {len(raw)} bytes; at most {MOST_BYTES} are allowed.", field)
    try:
        picture = _decoded(raw, field)
        stream = io.BytesIO()
        picture.save(stream, format="PNG", compress_level=_COMPRESSION)
    except InvalidRequest:
        raise
    except Exception as error:  # Pillow's parsers raise whatever they stumble over
        raise UnreadablePicture(
            f"{field} cannot be read as a picture; it may be truncated or damaged ({_first_line(error)}).", field
        ) from error
    return stream.getvalue()


def _decoded(raw: bytes, field: str) -> Image.Image:
    from PIL import Image, ImageOps, UnidentifiedImageError  # not needed by most workers' first requests

    try:
        opened = Image.open(io.BytesIO(raw), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(field, "more than 89 million pixels") from error
    except UnidentifiedImageError as error:
        raise UnreadablePicture(f"{field} is no PNG, JPEG or WebP picture; send one of these.", field) from error
    with opened:
        _check_head(opened, field)
        opened.load()
        upright = ImageOps.exif_transpose(opened)
        picture = _plain(_in_srgb(upright))
    picture.info.clear()  # profiles, texts and comments, some of which the encoder would write again
    return picture


def _check_head(opened: Image.Image, field: str) -> None:
    """What is known before anything is decoded."""
    width, height = opened.size
    if width * height > MOST_PIXELS:
        raise _too_many_pixels(field, f"{width}x{height} pixels")
    if max(width, height) > LONGEST_SIDE:
        raise InvalidRequest(f"{field} has {width}x{height} pixels; each side may have at most {LONGEST_SIDE}.", field)
    if opened.format in ("PNG", "WEBP") and getattr(opened, "n_frames", 1) > 1:
        raise InvalidRequest(f"{field} is animated; send a picture that stands still.", field)


def _too_many_pixels(field: str, has: str) -> InvalidRequest:
    return InvalidRequest(f"{field} has {has}; at most {MOST_PIXELS} are allowed. Make it smaller.", field)


def _in_srgb(picture: Image.Image) -> Image.Image:
    """The picture in sRGB by its colour profile; as it is where it has none, or one that cannot be used."""
    from PIL import ImageCms

    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("L", "RGB", "RGBA", "CMYK"):
        return picture
    alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        opaque = picture.convert("RGB") if alpha else picture
        converted = ImageCms.profileToProfile(opaque, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):  # browsers ignore such a profile as well
        return picture
    if converted is None:  # only where it is done in place
        return picture
    if alpha is not None:
        converted.putalpha(alpha)
    result: Image.Image = converted
    return result


def _plain(picture: Image.Image) -> Image.Image:
    """Eight bits a channel: grey, RGB, or RGBA where something can be seen through."""
    if picture.mode.startswith("I"):  # 16 bits of grey, in any order of their bytes
        picture = picture.convert("I").point(lambda value: value / 257).convert("L")
    if picture.mode in ("1", "L") and "transparency" not in picture.info:
        return picture.convert("L")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    seen = picture.convert("RGBA")
    return seen.convert("RGB") if seen.getchannel("A").getextrema() == (255, 255) else seen


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:120] or "no more is known"
