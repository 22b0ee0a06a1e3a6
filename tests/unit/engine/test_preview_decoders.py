"""Decoders of previews: the same picture as the pipeline's own decoding, only smaller; and when each can be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from engine.local import latent_colours, loading
from engine.local.devices import choose
from engine.local.latent_map import LatentMap, Shape
from engine.local.memory_plan import Placement
from engine.local.preview_decoders import Autoencoder, ByColours, ByMap, Geometry, decoders
from jobs.catalog import ModelEntry
from tests import tiny_models, tiny_newer_models

SIDE = 32
MAKERS: dict[str, Callable[[Path], None]] = {
    **tiny_models.MAKERS,
    "sdxl": tiny_newer_models.save_stable_diffusion_xl,
    "qwen-image": tiny_newer_models.save_qwen_image,
    "flux-2": tiny_newer_models.save_flux_2,
}


@pytest.fixture(scope="module", params=MAKERS)
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Any:
    """A pipeline, the latents that it showed last, and the picture that it made of them, twice as wide as high."""
    folder = tiny_weights / request.param
    if not folder.exists():
        folder = tmp_path_factory.mktemp("newer")
        MAKERS[request.param](folder)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(str(folder))
    pipeline.set_progress_bar_config(disable=True)
    latest = []

    def remember(_pipeline: Any, _index: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        latest.append(tensors["latents"])
        return tensors

    picture = pipeline(
        prompt="a castle",
        num_inference_steps=2,
        height=SIDE,
        width=2 * SIDE,
        generator=torch.Generator().manual_seed(1),
        callback_on_step_end=remember,
    ).images[0]
    return SimpleNamespace(pipeline=pipeline, latents=latest[-1], picture=picture)


def test_the_finished_latents_decode_to_the_finished_picture(drawn: Any) -> None:
    decoder = Autoencoder("decoder", drawn.pipeline, drawn.pipeline.vae, Geometry(2 * SIDE, SIDE))
    with torch.no_grad():
        decoded = decoder.draw(drawn.latents)
    assert decoded.size == drawn.picture.size
    assert np.abs(np.asarray(decoded).astype(int) - np.asarray(drawn.picture)).max() <= 1


def test_only_the_first_of_a_batch_is_drawn(drawn: Any) -> None:
    decoder = Autoencoder("decoder", drawn.pipeline, drawn.pipeline.vae, Geometry(2 * SIDE, SIDE))
    with torch.no_grad():
        alone, first = (decoder.draw(latents) for latents in (drawn.latents, torch.cat([drawn.latents, drawn.latents])))
    assert alone.tobytes() == first.tobytes()


class SeenVae(torch.nn.Module):
    """A decoder that paints its latents' first three channels; remembers what it was asked to decode."""

    def __init__(self, pixels: int, **config: Any) -> None:
        super().__init__()
        self.pixels, self.config = pixels, config
        self.dtype, self.device = torch.float32, torch.device("cpu")

    def decode(self, latents: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        assert not return_dict
        self.seen = latents
        return (latents[:, :3].repeat_interleave(self.pixels, 2).repeat_interleave(self.pixels, 3),)


@pytest.mark.parametrize(
    ("pixels", "columns", "decoded"),
    [
        (8, 128, 32),  # 1024 pixels: every cell the mean of sixteen
        (8, 32, 32),  # small enough
        (16, 64, 64),  # cells that are no means of each other
    ],
)
def test_latents_are_made_smaller_before_they_are_decoded(pixels: int, columns: int, decoded: int) -> None:
    vae = SeenVae(pixels)
    geometry = Geometry(columns * pixels, columns * pixels // 2)
    latents = torch.linspace(-1, 1, columns).expand(1, 4, columns // 2, columns)
    picture = Autoencoder("decoder", None, vae, geometry).draw(latents)
    assert vae.seen.shape == (1, 4, decoded // 2, decoded)
    assert picture.size == (256, 128)
    shades = np.asarray(picture)[0, :, 0].astype(int)
    assert (np.diff(shades) >= 0).all()
    assert shades[0] < 10
    assert shades[-1] > 245


def loaded(vae: Any, placement: Placement = Placement.RESIDENT, small: Any = None) -> Any:
    return SimpleNamespace(
        pipeline=SimpleNamespace(vae=vae), plan=SimpleNamespace(placement=placement), preview_decoder=small
    )


def kinds(of: Any, known: LatentMap | None = None) -> list[str]:
    return [decoder.kind for decoder in decoders(of, torch.zeros(1, 4, 4, 4), Geometry(32, 32), known)]


FAMILY: dict[str, Any] = {"latent_channels": 4, "scaling_factor": 0.18215}


def learned(pictures: int) -> LatentMap:
    known = LatentMap(Shape(4, 8))
    for _ in range(pictures):
        known.learn(torch.ones(4, 4, 4), Image.new("RGB", (32, 32), "red"))
    return known


def test_the_best_decoder_comes_first() -> None:
    small = object()
    assert kinds(loaded(SeenVae(8, **FAMILY), small=small)) == [
        "model's own decoder",
        "small decoder",
        "published colours",
    ]
    assert kinds(loaded(SeenVae(8)), learned(1)) == ["model's own decoder", "learned map"]
    assert kinds(loaded(None)) == []


def test_a_decoder_that_is_not_beside_the_latents_is_left_alone() -> None:
    for placement in set(Placement) - {Placement.RESIDENT}:
        assert kinds(loaded(SeenVae(8, **FAMILY), placement)) == ["published colours"]
    elsewhere = SeenVae(8)
    elsewhere.device = torch.device("meta")
    assert kinds(loaded(elsewhere)) == []


def test_a_decoder_that_would_overflow_is_not_used() -> None:
    half = SeenVae(8, force_upcast=True)
    half.dtype = torch.float16
    assert kinds(loaded(half)) == []


def test_a_map_that_has_learned_enough_replaces_published_colours() -> None:
    vae = SeenVae(8, **FAMILY)
    assert kinds(loaded(vae, Placement.MODEL_OFFLOAD), learned(1)) == ["published colours"]
    assert kinds(loaded(vae, Placement.MODEL_OFFLOAD), learned(4)) == ["learned map"]


def test_maps_and_colours_draw_latents_in_every_layout() -> None:
    geometry = Geometry(64, 32)
    picture = ByMap(learned(1), geometry).draw(torch.ones(1, 4, 4, 8))
    assert picture.size == (64, 32)
    colours = latent_colours.of({"latent_channels": 16, "scaling_factor": 0.3611, "shift_factor": 0.1159})
    assert colours is not None
    pipeline = SimpleNamespace(_unpack_latents=diffusers.FluxPipeline._unpack_latents, vae_scale_factor=8)
    assert ByColours(pipeline, colours, geometry).draw(torch.zeros(1, 8, 64)).size == (8, 4)
    with pytest.raises(ValueError, match="no way that is known"):
        ByColours(SimpleNamespace(), colours, geometry).draw(torch.zeros(1, 7, 64))


@pytest.mark.parametrize("channels", [4, 16])
def test_colours_are_known_for_families_alone(channels: int) -> None:
    assert latent_colours.of({"latent_channels": channels, "scaling_factor": 1.0}) is None
    assert latent_colours.of({"latent_channels": 4, "scaling_factor": 0.18215, "latents_mean": [0.0] * 4}) is None


def test_a_small_decoder_is_loaded_from_its_folder_or_not_at_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = ModelEntry(id="x", description="x", preview_decoder="example/tiny")
    cpu = choose("cpu")
    assert loading.preview_decoder(None, entry, cpu) is None
    assert loading.preview_decoder(tmp_path / "gone", entry, cpu) is None
    assert caplog.text == ""
    blocks: Any = {"decoder_block_out_channels": (8, 8), "num_decoder_blocks": (1, 1)}
    blocks |= {"encoder_block_out_channels": (8, 8), "num_encoder_blocks": (1, 1)}
    diffusers.AutoencoderTiny(**blocks).save_pretrained(tmp_path / "small")
    found = loading.preview_decoder(tmp_path / "small", entry, cpu)
    small = Autoencoder("small decoder", None, found, Geometry(16, 16))
    with torch.no_grad():
        assert small.draw(torch.zeros(1, 4, 8, 8)).size == (16, 16)
    (tmp_path / "small" / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "small" / "diffusion_pytorch_model.safetensors").write_bytes(b"rubbish")
    assert loading.preview_decoder(tmp_path / "small", entry, cpu) is None
    assert "The preview decoder example/tiny cannot be used" in caplog.text
