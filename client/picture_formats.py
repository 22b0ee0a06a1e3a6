"""The formats in which pictures are saved. The server has PNG; JPEG and WebP are made here, which needs Pillow."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from client.exit_codes import Ended, Exit

if TYPE_CHECKING:
    from PIL import Image

#: What the ending of a name means: the format, and how it is written.
FORMATS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 92, "subsampling": 0, "optimize": True}),
    ".jpeg": ("JPEG", {"quality": 92, "subsampling": 0, "optimize": True}),
    ".webp": ("WEBP", {"quality": 92, "method": 4}),
}
#: The line of settings in a PNG (`parameters`), and the EXIF field in which other tools look for it elsewhere.
_PARAMETERS: Final = "parameters"
_EXIF, _USER_COMMENT = 0x8769, 0x9286


def converted(png: bytes, ending: str) -> bytes:
    """A PNG in the format of an ending; the settings that it holds go along. Raises Ended if that cannot be done."""
    kind, options = FORMATS[ending]
    if kind == "PNG":
        return png
    picture = opened(png)
    if picture is None:
        raise Ended(Exit.FILE, f"A {ending} needs the Python package pillow: pip install pillow. Or save it as .png.")
    made = io.BytesIO()
    picture.convert("RGB").save(made, kind, exif=_exif(picture.info.get(_PARAMETERS)), **options)
    return made.getvalue()


def opened(content: bytes) -> Image.Image | None:
    """A picture to look at; None without Pillow. Raises Ended for what is no picture."""
    try:
        from PIL import Image
    except ImportError:
        return None
    try:
        picture = Image.open(io.BytesIO(content))
        picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Ended(Exit.UNREACHABLE, f"The server sent a picture that cannot be read: {error}.") from error
    return picture


def _exif(parameters: object) -> bytes:
    """The settings as Exif 2.3 wants a comment: the name of its character code in 8 bytes, then the text."""
    from PIL import Image

    exif = Image.Exif()
    if isinstance(parameters, str):
        exif.get_ifd(_EXIF)[_USER_COMMENT] = b"UNICODE\0" + parameters.encode("utf-16-be")
    return exif.tobytes()
