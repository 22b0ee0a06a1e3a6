"""The types of the fields that tell of pictures to begin from: see `jobs.schema`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from core.explain import EXPECTED

#: A picture as a request names it; what it means is said in `jobs.pictures`.
PictureReference = Annotated[
    str, Meta(min_length=1, extra={EXPECTED: "the id of an input (in_...) or image (img_...), or a data: URL"})
]
Margin = Annotated[int, Meta(ge=0, le=8192)]


class Outpaint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By how many pixels `image` is continued on each side."""

    left: Margin = 0
    top: Margin = 0
    right: Margin = 0
    bottom: Margin = 0

    def grown(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a picture of this size with its margins."""
        return width + self.left + self.right, height + self.top + self.bottom


class JobPicture(Struct, frozen=True, kw_only=True):
    """A picture that a job was given: an input, with its size in pixels."""

    id: Annotated[str, Meta(description="As in /api/inputs/<id>")]
    width: int
    height: int
    source: Annotated[str | None, Meta(description="The image of the gallery that it was taken from")] = None
