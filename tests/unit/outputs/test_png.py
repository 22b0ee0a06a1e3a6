"""PNG files: what other tools read from them, and our own record."""

from __future__ import annotations

import io

import msgspec
import pytest
from PIL import Image

from jobs.schema import EffectiveSettings
from outputs import png
from outputs.a1111 import parameters
from tests.sidecars import sidecar

ABOUT = sidecar(
    "00000000-0000-7000-8000-000000000000",
    number=2,
    prompt="a castle, at night",
    negative_prompt="blurry",
    scheduler="DDIM",
    settings=EffectiveSettings(
        num_images=2, num_inference_steps=30, guidance_scale=7.5, height=8, width=16, max_sequence_length=77, seed=41
    ),
    versions={"cyberimage": "0.1.0"},
)
IMAGE = Image.new("RGB", (16, 8), "red")


@pytest.mark.parametrize("prompt", ["a castle", "ein Schloß", "城 and 🏰", 'commas, "quotes": and\nlines'])
def test_the_texts_survive_the_file(prompt: str) -> None:
    about = msgspec.structs.replace(ABOUT, prompt=prompt)
    texts = png.read_texts(io.BytesIO(png.encode(IMAGE, about)))
    assert texts.parameters == parameters(about)
    assert texts.record == png.record(about)
    assert texts.record is not None
    assert texts.record["prompt"] == prompt
    assert "sha256" not in texts.record


def test_without_texts_the_file_holds_only_the_picture() -> None:
    content = png.encode(IMAGE, None)
    assert png.read_texts(io.BytesIO(content)) == png.PngTexts(None, None)
    assert b"tEXt" not in content
    with Image.open(io.BytesIO(content)) as image:
        assert image.tobytes() == IMAGE.tobytes()
