"""What a job begins from, and what of it comes back unchanged."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from PIL import Image, ImageChops

from jobs.picture_fields import JobPicture, Outpaint
from jobs.schema import EffectiveSettings, Job
from jobs.spool import Spool
from outputs.inputs import InputNotFound, InputStore
from outputs.png import encode
from runner.starting_picture import StartingPicture, starting_picture

RED, BLUE = (250, 10, 10), (10, 10, 250)


@pytest.fixture
def begin(spool: Spool, new_job: Callable[..., Job]) -> Callable[..., StartingPicture]:
    """The starting picture of a job over these pictures, at their size unless another is said."""
    store = InputStore(spool.layout)

    def kept(picture: Image.Image | None) -> JobPicture | None:
        if picture is None:
            return None
        found = store.put(encode(picture, None))
        return JobPicture(id=found.id, width=found.width, height=found.height)

    def make(
        image: Image.Image,
        mask: Image.Image | None = None,
        size: tuple[int, int] | None = None,
        outpaint: Outpaint | None = None,
    ) -> StartingPicture:
        width, height = size or (outpaint or Outpaint()).grown(*image.size)
        settings = EffectiveSettings(width=width, height=height, outpaint=outpaint, strength=0.6, seed=1)
        job = new_job().evolve(image=kept(image), mask=kept(mask), effective_settings=settings)
        found = starting_picture(job, store)
        assert found is not None
        return found

    return make


def noise(size: tuple[int, int]) -> Image.Image:
    channels = [Image.effect_noise(size, 80) for _ in range(3)]
    return Image.merge("RGB", channels)


def test_a_job_without_a_picture_begins_from_nothing(spool: Spool, new_job: Callable[..., Job]) -> None:
    assert starting_picture(new_job(), InputStore(spool.layout)) is None


def test_a_picture_that_is_gone_is_said_so(spool: Spool, new_job: Callable[..., Job]) -> None:
    job = new_job().evolve(image=JobPicture(id="in_" + "0" * 64, width=8, height=8))
    with pytest.raises(InputNotFound):
        starting_picture(job, InputStore(spool.layout))


def test_what_can_be_seen_through_is_white_in_a_picture_and_kept_by_a_mask(begin: Callable[..., Any]) -> None:
    glass = Image.new("RGBA", (16, 16), (*RED, 0))
    found = begin(glass, glass)
    assert found.image.getpixel((3, 3)) == (255, 255, 255)
    assert found.mask.getpixel((3, 3)) == 0
    grey = begin(Image.new("L", (16, 16), 77))
    assert (grey.image.mode, grey.image.getpixel((0, 0)), grey.mask) == ("RGB", (77, 77, 77), None)


@pytest.mark.parametrize("side", [32, 512])
def test_every_pixel_that_the_mask_keeps_comes_back(begin: Callable[..., Any], side: int) -> None:
    image, mask = noise((side, side)), Image.new("L", (side, side), 0)
    mask.paste(255, (side // 4, side // 4, side * 3 // 4, side * 3 // 4))
    mask.paste(255, (2, 2, 4, side - 2))  # thinner than an edge
    drawn = Image.new("RGB", (side, side), BLUE)
    result = begin(image, mask).restored(drawn)
    changed = ImageChops.difference(result, image).convert("L").point(lambda value: 255 if value else 0)
    outside = ImageChops.subtract(changed, mask)
    assert outside.getextrema() == (0, 0)
    assert result.getpixel((side // 2, side // 2)) == BLUE
    assert result.getpixel((3, side // 2)) == BLUE


def test_the_edge_is_soft_within_what_is_new(begin: Callable[..., Any]) -> None:
    image, mask = Image.new("RGB", (512, 512), RED), Image.new("L", (512, 512), 0)
    mask.paste(255, (256, 0, 512, 512))
    result = begin(image, mask).restored(Image.new("RGB", (512, 512), BLUE))
    reds = [result.getpixel((x, 256))[0] for x in range(250, 280)]
    assert reds == sorted(reds, reverse=True)
    assert reds[:6] == [250] * 6
    assert reds[-1] == 10
    assert max(first - second for first, second in pairwise(reds)) < 120


def test_without_a_mask_all_is_what_was_drawn(begin: Callable[..., Any]) -> None:
    drawn = Image.new("RGB", (16, 16), BLUE)
    assert begin(noise((16, 16))).restored(drawn) is drawn


def test_a_picture_is_continued_by_its_margins(begin: Callable[..., Any]) -> None:
    image = noise((32, 16))
    found = begin(image, outpaint=Outpaint(left=8, top=4, right=0, bottom=12))
    assert found.image.size == found.mask.size == (40, 32)
    assert found.image.crop((8, 4, 40, 20)).tobytes() == image.tobytes()
    assert found.mask.crop((8, 4, 40, 20)).getextrema() == (0, 0)
    assert found.mask.getpixel((0, 0)) == found.mask.getpixel((7, 10)) == found.mask.getpixel((20, 31)) == 255
    assert found.image.getpixel((0, 10)) == image.getpixel((0, 6))
    assert found.image.getpixel((39, 31)) == image.getpixel((31, 15))
    kept = found.restored(Image.new("RGB", (40, 32), BLUE))
    assert kept.crop((8, 4, 40, 20)).tobytes() == image.tobytes()
    assert kept.getpixel((0, 0)) == BLUE


def test_a_mask_and_margins_are_both_drawn_anew(begin: Callable[..., Any]) -> None:
    mask = Image.new("L", (16, 16), 0)
    mask.paste(255, (0, 0, 4, 4))
    found = begin(noise((16, 16)), mask, outpaint=Outpaint(right=8))
    assert found.mask.getpixel((2, 2)) == found.mask.getpixel((20, 10)) == 255
    assert found.mask.getpixel((8, 8)) == 0


def test_another_size_is_scaled_and_cut_not_stretched(begin: Callable[..., Any]) -> None:
    image = Image.new("RGB", (64, 32), RED)
    image.paste(BLUE, (0, 0, 8, 32))
    found = begin(image, Image.new("L", (64, 32), 255), size=(32, 32))
    assert found.image.size == found.mask.size == (32, 32)
    assert found.image.getpixel((1, 16)) == RED  # the blue edge was cut
