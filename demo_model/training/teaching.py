"""Teaching the decoder to do with the map alone, from a decoder that sees how each cell looks.

    python -m demo_model.training.teaching --data WORK --minutes 60

The decoder is the teacher's but for its first layers, those that work on cells of 16 by 16 pixels. They learn to make
from the map the features that the teacher makes from map and looks. No picture is decoded, so a step costs little, and
the same time shows the decoder some fifteen times as many scenes as training on pictures does.
Begins with ``WORK/teacher.pt``, or goes on from ``WORK/autoencoder.pt``.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from demo_model.training.autoencoder import (
    decoding_weights,
    inexact,
    new_autoencoder,
    new_optimizer,
    save,
    stored_looks,
)
from demo_model.training.command_line import run_parser
from demo_model.training.examples import painted
from demo_model.training.latents import CHANNELS, PART
from demo_model.training.patch_code import COMPONENTS, PatchCode

BATCH = 16
NEW = 4
"""So many examples of a batch are new, since painting takes its time."""
POOL = 6000
PEAK_RATE = 2e-3
WARM_UP_STEPS = 50
FIRST_SEED = 3_000_000
THING_WEIGHT = 5.0
BACKDROP_WEIGHT = 2.0
BACKDROP_ROWS = slice(5, 11)


def features(model: AutoencoderKL, latents: Tensor) -> Tensor:
    """What the decoder has before it enlarges anything: (count, 128, 16, 16)."""
    decoder = model.decoder
    hidden = decoder.mid_block(decoder.conv_in(model.post_quant_conv(latents)))
    for block in decoder.up_blocks[0].resnets:
        hidden = block(hidden, temb=None)
    return hidden  # type: ignore[no-any-return]


def taught_weights(model: AutoencoderKL) -> list[torch.nn.Parameter]:
    """The weights behind :func:`features`."""
    decoder = model.decoder
    parts = (model.post_quant_conv, decoder.conv_in, decoder.mid_block, decoder.up_blocks[0].resnets)
    return [weight for part in parts for weight in part.parameters()]


def beginning(teacher: AutoencoderKL) -> AutoencoderKL:
    """A decoder that takes the map only, with the teacher's weights as far as they fit."""
    model = new_autoencoder()
    weights, learned = model.state_dict(), teacher.state_dict()
    for name, value in weights.items():
        if learned[name].shape == value.shape:
            value.copy_(learned[name])
    # What the looks contributed is missing now; stronger weights make up for a part of it.
    weights["decoder.conv_in.weight"].copy_(3 * learned["decoder.conv_in.weight"][:, :CHANNELS])
    weights["post_quant_conv.weight"].copy_(torch.eye(CHANNELS)[:, :, None, None])
    weights["post_quant_conv.bias"].zero_()
    model.load_state_dict(weights)
    return model


def cell_weight(latents: Tensor) -> Tensor:
    """The weight of each cell in the loss: most pictures are mostly sky and ground."""
    filled = latents[:, PART["in sky"].start :].abs().sum(1, keepdim=True) > 0
    weight = 1 + (THING_WEIGHT - 1) * filled.float()
    weight[:, :, BACKDROP_ROWS] = weight[:, :, BACKDROP_ROWS].clamp(min=BACKDROP_WEIGHT)
    return weight / weight.mean()


def train(folder: Path, minutes: float) -> None:
    """Teach for ``minutes``; saves in the end."""
    teacher = new_autoencoder(CHANNELS + COMPONENTS).eval()
    teacher.load_state_dict(torch.load(folder / "teacher.pt", weights_only=True)["model"])
    path, looks = folder / "autoencoder.pt", stored_looks(folder)
    model, rng = beginning(teacher), Random(FIRST_SEED)
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True)["model"])
        rng = Random(FIRST_SEED + path.stat().st_mtime_ns)
    model = model.to(memory_format=torch.channels_last)
    weights = taught_weights(model)
    optimizer = new_optimizer(weights)
    pool, recent, step, began = Pool(rng), [], 0, time.monotonic()
    usual = features(teacher, pool.drawn(looks)).detach().pow(2).mean((0, 2, 3), keepdim=True).sqrt()
    while (share := (time.monotonic() - began) / (minutes * 60)) < 1:
        full = pool.drawn(looks)
        latents = full[:, :CHANNELS]
        with torch.no_grad():
            wanted = features(teacher, full) / usual
        made = features(model, inexact(latents)) / usual
        loss = (cell_weight(latents) * (made - wanted) ** 2).mean()
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * max(0.02, 1 - share)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        step += 1
        recent.append(float(loss.detach()))
        if step % 50 == 0:
            print(f"step {step}, {time.monotonic() - began:.0f} s, loss {np.mean(recent):.4f}", flush=True)
            recent.clear()
    # Polishing begins at step 0, with an optimizer of its own: it has more weights.
    save(path, model, new_optimizer(decoding_weights(model)), 0, 0.0)


class Pool:
    """Latents with looks that were painted, each drawn several times."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._examples: list[Tensor] = []

    def drawn(self, looks: PatchCode) -> Tensor:
        """A batch (count, channels, 16, 16)."""
        count = NEW if self._examples else 4 * BATCH
        self._examples += painted(count, self._rng, looks)[0].unbind()
        del self._examples[:-POOL]
        return torch.stack(self._rng.choices(self._examples, k=BATCH))


def main() -> None:
    parser = run_parser(__doc__, minutes=60)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.data, options.minutes)


if __name__ == "__main__":
    main()
