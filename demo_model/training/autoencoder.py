"""Training the decoder that turns latents into crisp pictures.

    python -m demo_model.training.autoencoder --data WORK --minutes 40

Resumes from ``WORK/autoencoder.pt``. Most steps see crops of 128 pixels with much to
see in them; the last share of the budget sees whole pictures, as sampling will.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from demo_model.training.dataset import PICTURE_SHARDS, patch_code
from demo_model.training.latents import CHANNELS, GRID, PATCH

CROP = 8
"""Side of a training crop in latent cells."""
BATCH = 8
PEAK_RATE = 2e-3
WHOLE_SHARE = 0.15
LATENT_NOISE = 0.3
"""At most this much noise on latents: the denoiser's are not exact either, and the decoder
can clean what is left."""


def new_autoencoder() -> AutoencoderKL:
    """The autoencoder with random weights; its latents have 1/16 of the picture's side."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=CHANNELS,
        block_out_channels=(16, 32, 64, 96, 128),
        down_block_types=("DownEncoderBlock2D",) * 5,
        up_block_types=("UpDecoderBlock2D",) * 5,
        layers_per_block=1,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=GRID * PATCH,
        scaling_factor=1.0,
        force_upcast=False,
    )


class Pictures:
    """Random pictures or crops with their latents."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._code = patch_code()
        stored = sorted(folder.glob("pictures_???.npy"))[:PICTURE_SHARDS]
        self._shards = [np.load(path, mmap_mode="r") for path in stored]
        self._rng = np.random.default_rng(seed)

    def batch(self, size: int, cells: int) -> tuple[Tensor, Tensor]:
        """Latents (size, channels, cells, cells) and pictures in -1..1 to match."""
        pictures = np.stack([self._picture() for _ in range(size)])
        latents = self._code.encode(pictures)
        crops = [self._crop(one, cells) for one in latents]
        cut = [
            picture[y * PATCH : (y + cells) * PATCH, x * PATCH : (x + cells) * PATCH]
            for picture, (y, x) in zip(pictures, crops, strict=True)
        ]
        codes = [one[:, y : y + cells, x : x + cells] for one, (y, x) in zip(latents, crops, strict=True)]
        wanted = torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).float() / 127.5 - 1
        return torch.from_numpy(np.stack(codes)), wanted

    def _picture(self) -> NDArray[np.uint8]:
        shard = self._shards[self._rng.integers(len(self._shards))]
        return np.asarray(shard[self._rng.integers(len(shard))])

    def _crop(self, latents: NDArray[np.float32], cells: int) -> tuple[int, int]:
        """The busiest of three random crops: flat sky teaches little."""
        corners = self._rng.integers(GRID - cells + 1, size=(3, 2))
        busy = [float(latents[2:, y : y + cells, x : x + cells].std()) for y, x in corners]
        y, x = corners[int(np.argmax(busy))]
        return int(y), int(x)


def edges(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Differences between neighbours, across and down."""
    return pictures[..., 1:] - pictures[..., :-1], pictures[..., 1:, :] - pictures[..., :-1, :]


def difference(made: Tensor, wanted: Tensor) -> Tensor:
    """The training loss: colours, and edges in the same places."""
    total = functional.l1_loss(made, wanted) + functional.mse_loss(made, wanted)
    for made_edges, wanted_edges in zip(edges(made), edges(wanted), strict=True):
        total = total + functional.l1_loss(made_edges, wanted_edges)
    return total


def train(folder: Path, minutes: float, begin_with: Path | None = None) -> None:
    """Train the decoder until ``minutes`` have been spent in all; saves as it goes."""
    path = folder / "autoencoder.pt"
    model = new_autoencoder() if begin_with is None else AutoencoderKL.from_pretrained(begin_with / "vae")
    model = model.to(memory_format=torch.channels_last)
    weights = [*model.decoder.parameters(), *model.post_quant_conv.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    step, seconds = 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, seconds = state["step"], state["seconds"]
    torch.manual_seed(step)
    pictures, recent = Pictures(folder, seed=step), []
    while seconds < minutes * 60:
        began = time.monotonic()
        share = seconds / (minutes * 60)
        whole = share > 1 - WHOLE_SHARE
        latents, wanted = pictures.batch(2 if whole else BATCH, GRID if whole else CROP)
        noise = LATENT_NOISE * torch.rand(len(latents), 1, 1, 1) * torch.randn_like(latents)
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, (step + 1) / 100) * cosine
        loss = difference(model.decode(latents + noise).sample, wanted)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        step, seconds = step + 1, seconds + time.monotonic() - began
        recent.append(float(loss.detach()))
        if step % 100 == 0:
            print(f"step {step}, {seconds:.0f} s, loss {np.mean(recent):.4f}", flush=True)
            recent.clear()
            save(path, model, optimizer, step, seconds)
    save(path, model, optimizer, step, seconds)


def save(path: Path, model: AutoencoderKL, optimizer: torch.optim.Optimizer, step: int, seconds: float) -> None:
    """Write all that a resumed run needs."""
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "seconds": seconds,
    }
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the shards")
    parser.add_argument("--minutes", type=float, default=40, help="training time in all")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--begin-with", type=Path, help="pipeline folder to begin with")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.data, options.minutes, options.begin_with)


if __name__ == "__main__":
    main()
