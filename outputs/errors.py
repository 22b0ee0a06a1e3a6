"""The errors of the image store."""

from __future__ import annotations

from core.errors import CyberImageError


class ImageNotFound(CyberImageError):
    """No image has this id."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"No image has the id {image_id[:80]!r}.")
        self.image_id = image_id


class DamagedImage(CyberImageError):
    """The image file is not as it was when it was committed; it is never served as whole."""

    def __init__(self, image_id: str, reason: str) -> None:
        super().__init__(f"The file of image {image_id} is damaged: {reason}.")
        self.image_id = image_id
