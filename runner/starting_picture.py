"""The picture that a job begins from, as it is drawn from, and what of it comes back into the result unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageChops, ImageFilter, ImageOps
from PIL.Image import Resampling

from jobs.picture_fields import Outpaint
from jobs.schema import Job
from outputs.inputs import InputStore

#: So wide is the soft edge, within what is drawn anew, in parts of the shorter side; and at most so many pixels.
_EDGE: Final = 128
_WIDEST_EDGE: Final = 8


@dataclass(frozen=True)
class StartingPicture:
    """Both in the size of the result. `image` is RGB; `mask` is grey: white is drawn anew, black is kept."""

    image: Image.Image
    mask: Image.Image | None

    def restored(self, drawn: Image.Image) -> Image.Image:
        """What was drawn, with every pixel that the mask keeps (black) as it was.

        The change from one to the other lies within what was drawn anew, and is soft.
        """
        if self.mask is None:
            return drawn
        return Image.composite(drawn.convert("RGB"), self.image, _softened(self.mask))


def starting_picture(job: Job, inputs: InputStore) -> StartingPicture | None:
    """The picture that a job begins from; None if there is none. Raises InputNotFound, DamagedInput, OSError.

    It is continued by the margins of the settings, then scaled to the size of the result; where its shape is another,
    what is too much is cut from both ends.
    """
    if job.image is None:
        return None
    settings = job.effective_settings
    image = _over("white", inputs.picture(job.image.id)).convert("RGB")
    mask = _over("black", inputs.picture(job.mask.id)).convert("L") if job.mask else None
    if settings.outpaint is not None:
        image, mask = _continued(image, mask, settings.outpaint)
    size = settings.width, settings.height
    return StartingPicture(_fitted(image, size), _fitted(mask, size) if mask else None)


def _over(colour: str, picture: Image.Image) -> Image.Image:
    """What can be seen through lies over a colour: white below pictures, and black, which keeps, below masks."""
    if picture.mode != "RGBA":
        return picture
    below = Image.new("RGBA", picture.size, colour)
    return Image.alpha_composite(below, picture)


def _continued(image: Image.Image, mask: Image.Image | None, margins: Outpaint) -> tuple[Image.Image, Image.Image]:
    """The picture on a larger canvas, its edges drawn out to have colours to begin from, and what of it is new."""
    width, height = image.size
    canvas = Image.new("RGB", margins.grown(width, height))
    new = Image.new("L", canvas.size, 255)
    place = (margins.left, margins.top)
    canvas.paste(image, place)
    new.paste(mask or Image.new("L", image.size, 0), place)
    right, bottom = margins.left + width, margins.top + height
    _draw_out(canvas, (margins.left, margins.top, margins.left + 1, bottom), (0, margins.top), (margins.left, height))
    _draw_out(canvas, (right - 1, margins.top, right, bottom), (right, margins.top), (margins.right, height))
    _draw_out(canvas, (0, margins.top, canvas.width, margins.top + 1), (0, 0), (canvas.width, margins.top))
    _draw_out(canvas, (0, bottom - 1, canvas.width, bottom), (0, bottom), (canvas.width, margins.bottom))
    return canvas, new


def _draw_out(
    canvas: Image.Image, edge: tuple[int, int, int, int], place: tuple[int, int], size: tuple[int, int]
) -> None:
    if all(size):
        canvas.paste(canvas.crop(edge).resize(size), place)


def _fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture if picture.size == size else ImageOps.fit(picture, size, Resampling.LANCZOS)


def _softened(mask: Image.Image) -> Image.Image:
    """The mask with soft edges within what is white. What is black stays so, as do parts thinner than an edge."""
    radius = min(_WIDEST_EDGE, min(mask.size) // _EDGE)
    if radius == 0:
        return mask
    box = ImageFilter.BoxBlur(radius)
    inner = mask.filter(box).point(lambda value: 255 if value == 255 else 0)
    thick = inner.filter(box).point(lambda value: 255 if value else 0)
    thin = ImageChops.subtract(mask, thick)
    return ImageChops.darker(mask, ImageChops.lighter(inner.filter(ImageFilter.GaussianBlur(radius / 2)), thin))
