"""What is made of bytes that somebody sends as a picture."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from core.errors import InvalidRequest
from outputs import decoding
from outputs.decoding import clean_png

RED = (200, 30, 40)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def decoded(raw: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(clean_png(raw, "image")))
    picture.load()
    assert (picture.format, picture.info) == ("PNG", {})
    return picture


def refusal(raw: bytes) -> str:
    with pytest.raises(InvalidRequest) as caught:
        clean_png(raw, "image")
    assert caught.value.field == "image"
    assert "\n" not in caught.value.message
    return caught.value.message


def corners() -> Image.Image:
    """Four colours, one in each corner: 24 pixels wide, 16 high."""
    picture = Image.new("RGB", (24, 16), RED)
    picture.paste((30, 200, 40), (12, 0, 24, 8))
    picture.paste((20, 40, 220), (0, 8, 12, 16))
    picture.paste((240, 230, 20), (12, 8, 24, 16))
    return picture


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG that says it has this size, with these chunks after its head."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


# --- What it becomes ------------------------------------------------------------------------------


def test_pixels_stay_and_the_same_picture_gives_the_same_bytes() -> None:
    picture = corners()
    once = clean_png(encoded(picture), "image")
    assert decoded(encoded(picture)).tobytes() == picture.tobytes()
    assert clean_png(once, "image") == once
    assert clean_png(encoded(picture, compress_level=9), "image") == once
    assert clean_png(encoded(picture, "WEBP", lossless=True), "image") == once


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_stored_upright(orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = corners()
    taken = upright.transpose(undo[orientation]) if orientation in undo else upright
    assert decoded(encoded(taken, exif=exif)).tobytes() == upright.tobytes()


def test_colours_are_converted_by_the_profile() -> None:
    wide = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    assert decoded(encoded(corners(), icc_profile=wide.tobytes())).tobytes() == corners().tobytes()  # of another kind
    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decoded(encoded(corners(), icc_profile=same)).getpixel((0, 0)) == RED
    swapped = _profile_with_red_and_blue_exchanged()
    for kind in ("PNG", "WEBP"):
        picture = decoded(encoded(Image.new("RGB", (8, 8), (250, 0, 0)), kind, icc_profile=swapped, lossless=True))
        red, _, blue = picture.getpixel((4, 4))  # type: ignore[misc]
        assert blue > 200 > 60 > red
    seen_through = Image.new("RGBA", (8, 8), (250, 0, 0, 99))
    assert decoded(encoded(seen_through, icc_profile=swapped)).getpixel((4, 4))[3] == 99  # type: ignore[index]
    assert decoded(encoded(corners(), icc_profile=b"nonsense")).tobytes() == corners().tobytes()


def _profile_with_red_and_blue_exchanged() -> bytes:
    """sRGB, its red and blue primaries exchanged by exchanging their names in the table of tags."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert plain.count(b"rXYZ") == plain.count(b"bXYZ") == 1
    return plain.replace(b"rXYZ", b"none").replace(b"bXYZ", b"rXYZ").replace(b"none", b"bXYZ")


def test_other_ways_to_write_colours_become_eight_bits() -> None:
    grey = decoded(encoded(Image.new("L", (8, 8), 77)))
    assert (grey.mode, grey.getpixel((0, 0))) == ("L", 77)
    assert decoded(encoded(Image.new("1", (8, 8), 1))).getpixel((0, 0)) == 255
    deep = decoded(encoded(Image.new("I;16", (8, 8), 77 * 257)))
    assert (deep.mode, deep.getpixel((0, 0))) == ("L", 77)
    cmyk = decoded(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert cmyk.mode == "RGB"
    red, green, blue = cmyk.getpixel((4, 4))  # type: ignore[misc]
    assert red > 230 > 40 > max(green, blue)
    palette = decoded(encoded(corners().convert("P", palette=Image.Palette.ADAPTIVE)))
    assert palette.mode == "RGB"


def test_what_can_be_seen_through_stays_so_and_what_cannot_loses_its_alpha() -> None:
    glass = Image.new("RGBA", (8, 8), (*RED, 255))
    assert decoded(encoded(glass)).mode == "RGB"
    glass.putpixel((3, 3), (1, 2, 3, 0))
    assert decoded(encoded(glass)).getpixel((3, 3)) == (1, 2, 3, 0)
    assert decoded(encoded(Image.new("LA", (8, 8), (9, 100)))).getpixel((0, 0)) == (9, 9, 9, 100)
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([1, 2, 3, 200, 30, 40])
    palette.putpixel((2, 2), 1)
    assert decoded(encoded(palette, transparency=0)).getpixel((0, 0)) == (1, 2, 3, 0)


def test_nothing_but_pixels_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    texts = PngInfo()
    texts.add_text("comment", "a secret place")
    raw = encoded(corners(), exif=exif, pnginfo=texts, dpi=(300, 300))
    hidden = raw + b"<script>a secret place</script>PK\x03\x04"
    for sent in (raw, hidden, encoded(corners(), "JPEG", exif=exif, comment=b"a secret place") + b"PK\x03\x04"):
        assert b"secret" in sent or b"PK" in sent
        stored = clean_png(sent, "image")
        assert b"secret" not in stored
        assert b"PK\x03\x04" not in stored
        assert b"script" not in stored


def test_of_a_phones_file_with_several_pictures_the_first_is_taken() -> None:
    stream = io.BytesIO()
    corners().save(stream, "MPO", save_all=True, append_images=[Image.new("RGB", (24, 16))], quality=95)
    assert decoded(stream.getvalue()).size == (24, 16)
    red, green, _ = decoded(stream.getvalue()).getpixel((2, 2))  # type: ignore[misc]
    assert red > 150 > green


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM", "PDF"])
def test_other_formats_are_refused(kind: str) -> None:
    assert refusal(encoded(corners(), kind)) == "image is no PNG, JPEG or WebP picture; send one of these."


@pytest.mark.parametrize(
    "raw", [b"", b"\x89PNG", b"<svg/>", b"%PDF-1.4", b"GIF89a", b"\xff\xd8\xff", b"RIFF\x00\x00\x00\x00WEBP"]
)
def test_what_is_no_picture_is_refused(raw: bytes) -> None:
    refusal(raw)


def test_animated_pictures_are_refused() -> None:
    moves = [corners(), Image.new("RGB", (24, 16))]
    for kind in ("PNG", "WEBP"):
        raw = encoded(moves[0], kind, save_all=True, append_images=moves[1:])
        assert refusal(raw) == "image is animated; send a picture that stands still."


@pytest.mark.parametrize(
    "size", [(100_000, 1), (5_001, 5_000), (2_000_000, 2_000_000), (20_000, 9_000), (10_000, 9_000)]
)
def test_a_bomb_is_refused_by_its_head(size: tuple[int, int]) -> None:
    """Few bytes that say that they are a huge picture: refused in no time and without memory."""
    rows = zlib.compress(bytes(100_000))
    tracemalloc.start()
    try:
        sentence = refusal(png_of(*size, chunk(b"IDAT", rows)))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert "at most" in sentence


def test_a_text_that_unfolds_into_more_than_is_bearable_is_refused() -> None:
    bomb = b"comment\x00\x00" + zlib.compress(bytes(50 << 20), 9)
    refusal(png_of(8, 8, chunk(b"zTXt", bomb), chunk(b"IDAT", zlib.compress(bytes(25 * 8)))))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    raw = encoded(Image.effect_noise((64, 64), 90).convert("RGB"), kind)
    for length in (len(raw) // 2, len(raw) - 40):
        assert "truncated or damaged" in refusal(raw[:length])


def test_a_file_that_is_too_large_is_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MOST_BYTES", 100)
    assert refusal(bytes(101)) == "image has 101 bytes; at most 100 are allowed."


SEEDS = [
    encoded(corners()),
    encoded(corners().convert("RGBA")),
    encoded(corners().convert("P")),
    encoded(corners(), "JPEG"),
    encoded(corners().convert("CMYK"), "JPEG"),
    encoded(corners(), "WEBP"),
    encoded(corners(), "WEBP", lossless=True),
    encoded(corners(), icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=12), st.data())
def test_damaged_bytes_are_a_picture_or_a_sentence(raw: bytes, changes: list[tuple[int, int]], data: Any) -> None:
    damaged = bytearray(raw)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    cut = data.draw(st.integers(0, len(damaged)))
    for sent in (bytes(damaged), bytes(damaged[:cut])):
        with suppress(InvalidRequest):  # and nothing else
            assert Image.open(io.BytesIO(clean_png(sent, "image"))).format == "PNG"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_picture_or_a_sentence(raw: bytes) -> None:
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x24\x00\x00\x00WEBPVP8 "):
        with pytest.raises(InvalidRequest):
            clean_png(start + raw, "image")
