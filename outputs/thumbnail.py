"""Thumbnails: a small WebP beside each PNG, made once, when it is first asked for.

The file ends with the SHA-256 of what is before it, 32 bytes that decoders of WebP ignore. One that is damaged, or not
whole after a power cut (it is not synced), is made again.
"""

from __future__ import annotations

import hashlib
import io
import logging
from typing import Final

from core import files
from core.files import is_storage_error
from outputs.errors import DamagedImage
from outputs.store import ImageStore

logger = logging.getLogger(__name__)

#: The longest side, in pixels.
SIDE: Final = 384
_QUALITY: Final = 80


def prepare() -> None:
    """Import all that making one needs; once is enough.

    Under gevent this must happen on the event loop, before threads make any: two threads that import a module at once
    wait for a lock of gevent's, and one of them may wait for ever.
    """
    from PIL import Image, WebPImagePlugin  # noqa: F401 - not needed by most workers' first requests

    Image.preinit()


def thumbnail(store: ImageStore, image_id: str) -> bytes:
    """The WebP of an image; raises ImageNotFound, DamagedImage. Takes tens of milliseconds the first time."""
    stored = _stored(store, image_id)
    if stored is not None:
        return stored
    webp = _make(store, image_id)
    keep(store, image_id, webp)
    return webp


def _stored(store: ImageStore, image_id: str) -> bytes | None:
    """The thumbnail that was made earlier; None if there is none that is whole."""
    try:
        content = files.read(store.path(image_id).with_suffix(".webp"))
    except (FileNotFoundError, files.NotRegularFile):
        return None
    webp = content[: -hashlib.sha256().digest_size]
    return webp if content == _sealed(webp) else None


def _sealed(webp: bytes) -> bytes:
    return webp + hashlib.sha256(webp).digest()


def _make(store: ImageStore, image_id: str) -> bytes:
    from PIL import Image, UnidentifiedImageError

    stream, _ = store.open(image_id)
    with stream:
        try:
            with Image.open(stream, formats=("PNG",)) as image:
                small = image.convert("RGB")
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            raise DamagedImage(image_id, f"it cannot be read as a PNG ({error})") from error
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    small.save(target, "WEBP", quality=_QUALITY)
    return target.getvalue()


def keep(store: ImageStore, image_id: str, webp: bytes) -> None:
    """Store a thumbnail; a full disk only means that the next one asking makes it again."""
    path = store.path(image_id).with_suffix(".webp")
    try:
        files.replace(path, _sealed(webp), store.layout.temporary, durable=False, name="thumbnail")
        if not store.sidecar_path(image_id).exists():  # deleted meanwhile
            files.unlink(path)
    except OSError as error:
        if not is_storage_error(error) and not isinstance(error, FileNotFoundError):
            raise
        logger.warning("The thumbnail of %s could not be kept: %s", image_id, error)
