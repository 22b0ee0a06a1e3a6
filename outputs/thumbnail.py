"""Thumbnails: a small WebP beside each PNG, made once, when it is first asked for."""

from __future__ import annotations

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


def thumbnail(store: ImageStore, image_id: str) -> bytes:
    """The WebP of an image; raises ImageNotFound, DamagedImage. Takes tens of milliseconds the first time."""
    path = store.path(image_id).with_suffix(".webp")
    try:
        return files.read(path)
    except FileNotFoundError:
        webp = _make(store, image_id)
    _keep(store, image_id, webp)
    return webp


def _make(store: ImageStore, image_id: str) -> bytes:
    from PIL import Image, UnidentifiedImageError  # not needed by most workers' first requests

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


def _keep(store: ImageStore, image_id: str, webp: bytes) -> None:
    """Store the thumbnail; a full disk only means that the next one asking makes it again."""
    path = store.path(image_id).with_suffix(".webp")
    try:
        files.replace(path, webp, store.layout.temporary, durable=False, name="thumbnail")
        if not store.sidecar_path(image_id).exists():  # deleted meanwhile
            files.unlink(path)
    except OSError as error:
        if not is_storage_error(error) and not isinstance(error, FileNotFoundError):
            raise
        logger.warning("The thumbnail of %s could not be kept: %s", image_id, error)
