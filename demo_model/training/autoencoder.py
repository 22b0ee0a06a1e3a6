"""Training the decoder that turns latents into crisp pictures.

    python -m demo_model.training.autoencoder --data WORK --minutes 90 --teacher
    python -m demo_model.training.teaching --data WORK --minutes 60
    python -m demo_model.training.autoencoder --data WORK --minutes 20

The first line trains a decoder that also sees how each cell looks (:mod:`patch_code`), which is quickly learned. The
second makes one of it that does with the map alone; the third polishes that one on pictures.
Resumes from ``WORK/autoencoder.pt`` (``teacher.pt``). Most steps see crops of 128 pixels with much to
see in them; every fourth step and the last share of the budget see whole pictures, as
sampling will.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from random import Random

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from demo_model.training.command_line import run_parser
from demo_model.training.examples import painted, random_layout
from demo_model.training.latents import CHANNELS, GRID, PATCH
from demo_model.training.patch_code import COMPONENTS, PatchCode, fit
from demo_model.training.world import paint

CROP = 8
"""Side of a training crop in latent cells."""
BATCH = 8
PEAK_RATE = 2e-3
POLISHING_RATE = 3e-4
FIRST_SEED = 2_000_000
WHOLE_SHARE = 0.15
LATENT_NOISE = 0.25
"""At most this much noise on latents: the denoiser's are not exact either, and the decoder
can clean what is left."""


def new_autoencoder(channels: int = CHANNELS) -> AutoencoderKL:
    """The autoencoder with random weights; its latents have 1/16 of the picture's side."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=channels,
        block_out_channels=(16, 32, 64, 96, 128),
        down_block_types=("DownEncoderBlock2D",) * 5,
        up_block_types=("UpDecoderBlock2D",) * 5,
        layers_per_block=1,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=GRID * PATCH,
        use_quant_conv=False,
        scaling_factor=1.0,
        force_upcast=False,
    )


def cropped(latents: Tensor, pictures: Tensor, rng: Random) -> tuple[Tensor, Tensor]:
    """From each example the busiest of three random crops, since flat sky teaches little."""
    codes, parts = [], []
    for code, picture in zip(latents, pictures, strict=True):
        corners = [(rng.randrange(GRID - CROP + 1), rng.randrange(GRID - CROP + 1)) for _ in range(3)]
        crops = [picture[:, y * PATCH : (y + CROP) * PATCH, x * PATCH : (x + CROP) * PATCH] for y, x in corners]
        best = max(range(3), key=lambda i: float(crops[i].std()))
        y, x = corners[best]
        codes.append(code[:, y : y + CROP, x : x + CROP])
        parts.append(crops[best])
    return torch.stack(codes), torch.stack(parts)


def inexact(latents: Tensor) -> Tensor:
    """Latents as a denoiser might make them: noisy, and often too strong, as guidance makes them."""
    count = len(latents)
    strength = 1 + 0.25 * torch.rand(count, 1, 1, 1) * (torch.rand(count, 1, 1, 1) < 0.4)
    noise = LATENT_NOISE * torch.rand(count, 1, 1, 1) * torch.randn_like(latents)
    return latents * strength + noise


def edges(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Differences between neighbours, across and down."""
    return pictures[..., 1:] - pictures[..., :-1], pictures[..., 1:, :] - pictures[..., :-1, :]


def difference(made: Tensor, wanted: Tensor) -> Tensor:
    """The training loss: colours, and edges in the same places."""
    total = functional.l1_loss(made, wanted) + functional.mse_loss(made, wanted)
    for made_edges, wanted_edges in zip(edges(made), edges(wanted), strict=True):
        total = total + functional.l1_loss(made_edges, wanted_edges)
    return total


def decoding_weights(model: AutoencoderKL) -> list[torch.nn.Parameter]:
    """The weights that turn latents into a picture."""
    return [*model.decoder.parameters(), *model.post_quant_conv.parameters()]


def new_optimizer(weights: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of decoders; the rate is set for each step."""
    return torch.optim.AdamW(weights, lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.0)


def stored_looks(folder: Path) -> PatchCode:
    """The patch code of the run in ``folder``; fitted at first."""
    path = folder / "patch_code.npz"
    if not path.exists():
        rng = Random(FIRST_SEED - 1)
        fit(paint(random_layout(rng)) for _ in range(1000)).save(path)
    return PatchCode.load(path)


def train(folder: Path, minutes: float, *, teacher: bool = False, begin_with: Path | None = None) -> None:
    """Train the decoder (or its teacher) until ``minutes`` have been spent in all; saves as it goes."""
    path = folder / ("teacher.pt" if teacher else "autoencoder.pt")
    looks = stored_looks(folder) if teacher else None
    peak = PEAK_RATE if teacher else POLISHING_RATE
    model = new_autoencoder(CHANNELS + COMPONENTS if teacher else CHANNELS)
    if begin_with is not None:
        model = AutoencoderKL.from_pretrained(begin_with / "vae")
    model = model.to(memory_format=torch.channels_last)
    weights = decoding_weights(model)
    optimizer = new_optimizer(weights)
    step, seconds = 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, seconds = state["step"], state["seconds"]
    torch.manual_seed(step)
    rng, recent = Random(FIRST_SEED + step), []
    while seconds < minutes * 60:
        began = time.monotonic()
        share = seconds / (minutes * 60)
        whole = share > 1 - WHOLE_SHARE or step % 4 == 0
        latents, wanted = painted(BATCH // 4 if whole else BATCH, rng, looks)
        if not whole:
            latents, wanted = cropped(latents, wanted, rng)
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = peak * min(1.0, (step + 1) / 100) * cosine
        loss = difference(model.decode(inexact(latents)).sample, wanted)
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
    parser = run_parser(__doc__, minutes=40)
    parser.add_argument("--teacher", action="store_true", help="train the teacher")
    parser.add_argument("--begin-with", type=Path, help="pipeline folder to begin with")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.data, options.minutes, teacher=options.teacher, begin_with=options.begin_with)


if __name__ == "__main__":
    main()
