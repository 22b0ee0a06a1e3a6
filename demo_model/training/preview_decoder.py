"""The small decoder for previews: latents become pictures of half the size, in an eighth of the decoder's time.

    python -m demo_model.training.preview_decoder --data WORK --minutes 15 --out demo_model/preview_decoder

It learns from the painter as the decoder does. Early estimates of a picture are means of many scenes, so it also sees
means of two maps, and paints the means of their pictures. The encoder half is untrained: previews never encode.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from random import Random

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn import functional

from demo_model.training.autoencoder import inexact
from demo_model.training.command_line import run_parser
from demo_model.training.examples import painted
from demo_model.training.latents import CHANNELS

BATCH = 16
NEW = 1
"""So many examples of a batch are new, since painting takes its time."""
POOL = 4000
CELLS = 8
"""Examples are cut to so many cells along a side: a step costs a quarter, and nothing is far apart for this decoder."""
MIXED = 0.25
"""The share of batches whose examples are means of two."""
RATE = 2e-3
SEED = 4_000_000
PIXELS = 8
"""Pixels along the side of what a cell becomes."""


def new_preview_decoder() -> AutoencoderTiny:
    """An untrained one."""
    return AutoencoderTiny(
        latent_channels=CHANNELS,
        decoder_block_out_channels=(24, 24, 24, 24),
        num_decoder_blocks=(4, 3, 1, 0),
        encoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(0, 0, 0, 0),
    )


class Pool:
    """Maps and small pictures that were painted, each drawn several times."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._examples: list[tuple[Tensor, Tensor]] = []

    def drawn(self) -> tuple[Tensor, Tensor]:
        """Cut-outs (count, channels, 8, 8) and what they look like (count, 3, 64, 64)."""
        maps, pictures = painted(NEW if self._examples else 8 * BATCH, self._rng)
        small = functional.avg_pool2d(pictures, pictures.shape[-1] // (maps.shape[-1] * PIXELS))
        self._examples += zip(maps, small, strict=True)
        del self._examples[:-POOL]
        one, other = (self._cut() for _ in range(2))
        share = torch.rand(BATCH, 1, 1, 1).clamp(min=0.5) if self._rng.random() < MIXED else torch.ones(BATCH, 1, 1, 1)
        return share * one[0] + (1 - share) * other[0], share * one[1] + (1 - share) * other[1]

    def _cut(self) -> tuple[Tensor, Tensor]:
        row, column = (self._rng.randrange(16 - CELLS + 1) for _ in range(2))
        chosen = self._rng.choices(self._examples, k=BATCH)
        cells = [part[:, row : row + CELLS, column : column + CELLS] for part, _ in chosen]
        top, left, side = row * PIXELS, column * PIXELS, CELLS * PIXELS
        return torch.stack(cells), torch.stack([shown[:, top : top + side, left : left + side] for _, shown in chosen])


def train(folder: Path, minutes: float, out: Path) -> None:
    """Train for ``minutes``, then store the decoder; goes on from an earlier run."""
    path = folder / "preview_decoder.pt"
    model = new_preview_decoder()
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
    pool, recent, step, began = Pool(Random(SEED + time.time_ns())), [], 0, time.monotonic()
    optimizer = torch.optim.AdamW(model.decoder.parameters(), lr=RATE, weight_decay=0.0)
    while (share := (time.monotonic() - began) / (minutes * 60)) < 1:
        maps, wanted = pool.drawn()
        difference = model.decoder(inexact(maps)) - wanted
        loss = difference.abs().mean() + difference.square().mean()
        for group in optimizer.param_groups:
            group["lr"] = RATE * max(0.02, 1 - share)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.decoder.parameters(), 1.0)
        optimizer.step()
        step += 1
        recent.append(float(difference.detach().square().mean()))
        if step % 50 == 0:
            print(f"step {step}, {time.monotonic() - began:.0f} s, mean square {np.mean(recent):.4f}", flush=True)
            recent.clear()
            torch.save(model.state_dict(), path)
    store(model, out)


def store(model: AutoencoderTiny, out: Path) -> None:
    """Write the decoder in half precision, without what diffusers says of it and then does not read."""
    model.to(torch.float16).save_pretrained(out, safe_serialization=True)
    path = out / "config.json"
    config = json.loads(path.read_text())
    config.pop("block_out_channels", None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def main() -> None:
    parser = run_parser(__doc__, minutes=15)
    parser.add_argument("--out", type=Path, required=True, help="folder of the decoder")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.data, options.minutes, options.out)


if __name__ == "__main__":
    main()
