"""Pictures in other formats keep what they show, and the line that other tools read."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from outputs import a1111, png
from outputs.formats import comment_of, convert
from tests.sidecars import sidecar

ORDER = "01a213b9-f972-7707-83d0-640d52446f80"


def stored(prompt: str = "a castle", *, has_texts: bool = True) -> bytes:
    image = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    return png.encode(image, sidecar(ORDER, prompt=prompt) if has_texts else None)


def test_a_png_stays_as_it_is() -> None:
    content = stored()
    assert convert(content, "png") == content


@pytest.mark.parametrize(("target", "quality"), [("jpeg", 100), ("jpeg", 0), ("webp", 100), ("webp", 50)])
def test_the_picture_and_its_line_go_along(target: str, quality: int) -> None:
    with Image.open(io.BytesIO(convert(stored(), target, quality))) as found:  # type: ignore[arg-type]
        assert (found.format, found.size) == (target.upper(), (64, 48))
        assert comment_of(found.getexif()) == a1111.parameters(sidecar(ORDER))
        with Image.open(io.BytesIO(stored())) as original:
            difference = ImageChops.difference(original.convert("RGB"), found.convert("RGB"))
    assert max(difference.convert("L").tobytes()) <= (0 if (target, quality) == ("webp", 100) else 60)


def test_lower_quality_is_smaller() -> None:
    sizes = [len(convert(stored(has_texts=False), "jpeg", quality)) for quality in (5, 50, 100)]
    assert sizes == sorted(sizes)


@given(prompt=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=500))
def test_any_prompt_survives(prompt: str) -> None:
    with Image.open(io.BytesIO(convert(stored(prompt), "webp", 50))) as found:
        assert comment_of(found.getexif()) == a1111.parameters(sidecar(ORDER, prompt=prompt))


def test_where_nothing_was_embedded_nothing_is() -> None:
    with Image.open(io.BytesIO(convert(stored(has_texts=False), "jpeg", 90))) as found:
        assert comment_of(found.getexif()) is None


def test_a_line_that_no_jpeg_holds_is_left_out() -> None:
    with Image.open(io.BytesIO(convert(stored("x" * 40_000), "jpeg", 90))) as found:
        assert comment_of(found.getexif()) is None


def test_a_preview_becomes_a_png() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, "WEBP")
    with Image.open(io.BytesIO(convert(stream.getvalue(), "png"))) as found:
        assert found.format == "PNG"


def test_what_is_no_picture_is_an_error() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        convert(b"nothing", "jpeg")
