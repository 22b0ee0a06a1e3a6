"""From an estimate of the finished latents to a small picture: by the model's own decoder, or one that costs less.

No decoder here draws random numbers, moves weights or changes a pipeline, so that pictures are the same with previews
and without.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from engine.local import latent_colours
from engine.local.latent_map import MAX_SIDE, LatentMap, cells_of
from engine.local.memory_plan import Placement
from engine.local.pipelines import LoadedPipeline

#: Up to so many pixels along its side a cell of latents is little more than a colour with some texture, and the mean
#: of four neighbours decodes to their picture, half as large. Cells that stand for more are no means of each other.
_POOLED_PIXELS: Final = 8
#: Pictures after which a learned map is better than published colours.
_WELL_LEARNED: Final = 4


class Decoder(Protocol):
    """Makes a picture of the first of a batch of latents."""

    @property
    def kind(self) -> str:
        """What it is called."""

    @property
    def needs_no_map(self) -> bool:
        """Whether it is as good for a picture that nothing was learned of."""

    def draw(self, latents: Tensor) -> Image.Image:
        """A picture whose longer side has at most `MAX_SIDE` pixels."""


@dataclass(frozen=True)
class Geometry:
    """The size at which a pipeline draws, in pixels."""

    width: int
    height: int


class Autoencoder:
    """Decodes by an autoencoder, of latents that were made smaller where that can be done."""

    needs_no_map = True

    def __init__(self, kind: str, pipeline: Any, vae: Any, geometry: Geometry) -> None:
        self.kind = kind
        self._pipeline = pipeline
        self._vae = vae
        self._geometry = geometry

    def draw(self, latents: Tensor) -> Image.Image:
        """See `Decoder`. Raises what the autoencoder raises."""
        unpacked = _unpack(self._pipeline, latents[:1], self._geometry).to(self._vae.dtype)
        scaled = _scaled(self._pipeline, self._vae, unpacked)
        decoded = self._vae.decode(_pooled(scaled, self._geometry), return_dict=False)[0]
        return _small(decoded[0] if decoded.dim() == 4 else decoded[0, :, 0])


class ByMap:
    """Colours every cell by a linear map: the one that was learned of the model."""

    kind = "learned map"
    needs_no_map = False

    def __init__(self, known: LatentMap, geometry: Geometry) -> None:
        self._known = known
        self._geometry = geometry

    def draw(self, latents: Tensor) -> Image.Image:
        """See `Decoder`."""
        return self._known.draw(_cells(latents, self._geometry).float().cpu())


class ByColours:
    """Colours every cell by what was published about the model's family."""

    kind = "published colours"
    needs_no_map = False

    def __init__(self, pipeline: Any, colours: Tensor, geometry: Geometry) -> None:
        self._pipeline = pipeline
        self._colours = colours
        self._geometry = geometry

    def draw(self, latents: Tensor) -> Image.Image:
        """See `Decoder`."""
        unpacked = _unpack(self._pipeline, latents[:1], self._geometry)[0].float().cpu()
        return _small(torch.einsum("chw,cr->rhw", unpacked, self._colours))


def decoders(loaded: LoadedPipeline, latents: Tensor, geometry: Geometry, known: LatentMap | None) -> Iterator[Decoder]:
    """What can draw previews of these latents, the best first.

    The model's own decoder only where it lies beside the latents already: one that is kept in the host's memory would
    push the denoiser off the device.
    """
    vae = getattr(loaded.pipeline, "vae", None)
    if loaded.plan.placement is Placement.RESIDENT and _is_at_hand(vae, latents):
        yield Autoencoder("model's own decoder", loaded.pipeline, vae, geometry)
    if loaded.preview_decoder is not None:
        yield Autoencoder("small decoder", loaded.pipeline, loaded.preview_decoder, geometry)
    colours = latent_colours.of(getattr(vae, "config", {}))
    if known is not None and known.is_reliable and (colours is None or known.samples >= _WELL_LEARNED):
        yield ByMap(known, geometry)
    elif colours is not None:
        yield ByColours(loaded.pipeline, colours, geometry)


def _unpack(pipeline: Any, latents: Tensor, geometry: Geometry) -> Tensor:
    """Latents as (batch, channels, rows, columns), or with a time axis of one before the rows.

    Tokens are put in place by the pipeline itself (FLUX, Qwen-Image), or lie line by line (FLUX.2). Raises ValueError
    for latents that lie otherwise.
    """
    if latents.dim() != 3:
        return latents
    if hasattr(pipeline, "_unpack_latents"):
        unpacked: Tensor = pipeline._unpack_latents(latents, geometry.height, geometry.width, pipeline.vae_scale_factor)
        return unpacked
    return _cells(latents, geometry).permute(2, 0, 1)[None]


def _cells(latents: Tensor, geometry: Geometry) -> Tensor:
    """The first latents as (rows, columns, channels); raises ValueError where they lie in no way that is known."""
    cells = cells_of(latents, geometry.width, geometry.height)
    if cells is None:
        raise ValueError(f"latents of the shape {tuple(latents.shape)} lie in no way that is known")
    return cells


def _scaled(pipeline: Any, vae: Any, latents: Tensor) -> Tensor:
    """Latents as the autoencoder decodes them: each channel's own mean and spread put back, or one for all.

    As diffusers' pipelines do it before they decode.
    """
    config = vae.config
    if (norm := getattr(vae, "bn", None)) is not None:  # FLUX.2: of patches of two by two
        mean, variance = norm.running_mean.view(1, -1, 1, 1), norm.running_var.view(1, -1, 1, 1)
        spread = torch.sqrt(variance + config.batch_norm_eps)
        unpatched: Tensor = pipeline._unpatchify_latents(latents * spread.to(latents) + mean.to(latents))
        return unpatched
    scale = config.get("scaling_factor") or 1.0
    if config.get("latents_mean") is not None and config.get("latents_std") is not None:
        shape = (1, -1) + (1,) * (latents.dim() - 2)
        mean, spread = (latents.new_tensor(config[name]).view(shape) for name in ("latents_mean", "latents_std"))
        return latents * spread / scale + mean
    return latents / scale + (config.get("shift_factor") or 0.0)


def _is_at_hand(vae: Any, latents: Tensor) -> bool:
    """Whether an autoencoder can decode beside the latents as it is."""
    if vae is None or not hasattr(vae, "decode"):
        return False
    if vae.dtype == torch.float16 and vae.config.get("force_upcast"):
        return False  # overflows; the pipeline widens its weights for the time of its own decoding
    return bool(vae.device == latents.device)


def _pooled(latents: Tensor, geometry: Geometry) -> Tensor:
    """Latents for a picture of `MAX_SIDE` at most, each cell the mean of those that it stands for."""
    rows, columns = latents.shape[-2:]
    pixels = geometry.width // columns
    longest = max(1, MAX_SIDE // max(1, pixels))
    if pixels > _POOLED_PIXELS or max(rows, columns) <= longest:
        return latents
    scale = longest / max(rows, columns)
    size = (max(1, round(rows * scale)), max(1, round(columns * scale)))
    flat = functional.adaptive_avg_pool2d(latents.reshape(1, -1, rows, columns).float(), size)
    return flat.view(*latents.shape[:-2], *size).to(latents)


def _small(picture: Tensor) -> Image.Image:
    """A picture of (3, height, width) from -1 to 1, at most `MAX_SIDE` pixels wide and high."""
    levels = ((picture.float() / 2 + 0.5).nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8)
    image = Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    return image
