"""Training the denoiser on latents and slot vectors; stops at a wall-clock budget.

    python -m demo_model.training.denoiser --data WORK --minutes 60

Resumes from ``WORK/denoiser.pt`` where there is one. The learning rate falls steadily over
the budget, counted over all resumed runs together.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor

from demo_model.training.latents import CHANNELS, GRID
from demo_model.training.scene import KINDS
from demo_model.training.slots import COUNT, LENGTH, WIDTH, Codebook

BATCH = 16
PEAK_RATE = 1.3e-3
WARM_UP_STEPS = 150
EMA_DECAY = 0.998
DROPPED_CAPTIONS = 0.1
THING_WEIGHT = 3.0
"""Cells where a thing was asked for count this much in the loss."""
FIRST_FLYING, CAT = (2 + KINDS.index(kind) for kind in ("balloon", "cat"))
SLOT_NOISE = 0.1
"""Noise on slot vectors, so that the text encoder need not be exact."""

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "steps_offset": 0,
}


def new_denoiser() -> UNet2DConditionModel:
    """The denoiser with random weights."""
    return UNet2DConditionModel(
        sample_size=GRID,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(80, 144, 160),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


class Shards:
    """Random batches from the shards on disk; takes up new shards as they appear."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._rng = np.random.default_rng(seed)
        self._seen: list[Path] = []
        self._latents: list[Tensor] = []
        self._asked: list[Tensor] = []

    def refresh(self) -> int:
        """Read new shards; returns the number of samples at hand."""
        for path in sorted(self._folder.glob("shard_???.npz")):
            if path not in self._seen:
                stored = np.load(path)
                self._latents.append(torch.from_numpy(stored["latents"]))
                self._asked.append(torch.from_numpy(stored["asked"]))
                self._seen.append(path)
        return sum(len(part) for part in self._latents)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Latents (float32) and asked features of ``size`` random samples."""
        shard = self._rng.integers(len(self._latents), size=size)
        index = [int(self._rng.integers(len(self._latents[s]))) for s in shard]
        latents = torch.stack([self._latents[s][i] for s, i in zip(shard, index, strict=True)])
        asked = torch.stack([self._asked[s][i] for s, i in zip(shard, index, strict=True)])
        return latents.float(), asked


def context(codebook: Codebook, asked: Tensor) -> tuple[Tensor, Tensor]:
    """What the denoiser attends to, and the attention mask that goes with it.

    All positions but the slots hold the same vector, so one stands for all of them; the
    mask (which diffusers turns into a bias of -10000 times its distance from 1) gives it
    their joint weight. The result is the same as with all positions, at less cost.
    """
    plain = codebook.plain.expand(len(asked), 1, WIDTH)
    mask = torch.ones(len(asked), 1 + COUNT)
    mask[:, 0] += math.log(LENGTH - COUNT) / 10000
    return torch.cat([plain, codebook.codes(asked)], dim=1), mask


@dataclass
class Training:
    """All that a resumed run needs."""

    model: UNet2DConditionModel
    average: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float, float]] = field(default_factory=list)
    """Step, seconds, mean loss since the entry before."""

    def save(self, path: Path) -> None:
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses,
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)

    @classmethod
    def start(cls, path: Path, begin_with: Path | None) -> Training:
        """The stored run, or a new one, with random weights or those of a pipeline folder."""
        model = new_denoiser()
        if begin_with is not None:
            model = UNet2DConditionModel.from_pretrained(begin_with / "unet")
        model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.01)
        training = cls(model, {}, optimizer)
        if path.exists():
            training._restore(torch.load(path, weights_only=True))
        else:
            training.average = {k: v.clone() for k, v in model.state_dict().items()}
        return training

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        self.step, self.seconds = state["step"], state["seconds"]
        self.losses = state["losses"]

    def follow(self) -> None:
        """Move the running average of the weights a little towards the weights."""
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)


def rate(step: int, share: float) -> float:
    """The learning rate at ``step``, after ``share`` of the budget."""
    return PEAK_RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * max(0.02, 1 - share)


def random_times(count: int) -> Tensor:
    """Noise levels, one in each of ``count`` equal strata, more of them at high noise.

    What stands where is decided at high noise; low noise is only about sharp edges,
    which the decoder draws anyway.
    """
    spread = (torch.arange(count) + torch.rand(count)) / count
    return (1000 * spread**0.8).long().clamp(max=999)


def time_weight(times: Tensor) -> Tensor:
    """The share of each sample in the loss: less where there is little noise."""
    kept = NOISER.alphas_cumprod[times]
    return (1 - kept).sqrt()[:, None, None, None]


def place_weight(asked: Tensor) -> Tensor:
    """The share of each cell in the loss: more where a thing was asked for.

    It depends on what was asked, not on what was drawn, so the best prediction stays
    the same.
    """
    weight = torch.ones(len(asked), 1, GRID, GRID)
    for place, column in enumerate((0, 5, 10)):
        kind = asked[:, 4 + 3 * place]
        named = (kind > 1)[:, None, None, None]
        flying = (kind >= FIRST_FLYING)[:, None, None, None] & (kind < CAT)[:, None, None, None]
        for rows, chosen in ((slice(0, 9), named & flying), (slice(5, 14), named & ~flying)):
            part = weight[:, :, rows, column : column + 6]
            part += (THING_WEIGHT - part) * chosen
    return weight / weight.mean()


def loss_of(model: UNet2DConditionModel, latents: Tensor, asked: Tensor, book: Codebook) -> Tensor:
    """Weighted squared error of the predicted velocity."""
    times = random_times(len(latents))
    noise = torch.randn_like(latents)
    noised = NOISER.add_noise(latents, noise, times)
    target = NOISER.get_velocity(latents, noise, times)
    encoding, mask = context(book, asked)
    encoding = encoding + SLOT_NOISE * torch.randn_like(encoding)
    noised = noised.to(memory_format=torch.channels_last)
    predicted = model(noised, times, encoding, encoder_attention_mask=mask).sample
    weight = time_weight(times) * place_weight(asked)
    return (weight * (predicted - target) ** 2).mean()


NOISER = DDPMScheduler(**SCHEDULE)


def train(folder: Path, minutes: float, path: Path, begin_with: Path | None = None) -> None:
    """Train until ``minutes`` of training have been spent in all; saves as it goes."""
    training = Training.start(path, begin_with)
    torch.manual_seed(training.step)
    shards, codebook = Shards(folder, seed=training.step), Codebook()
    shards.refresh()
    recent: list[float] = []
    while training.seconds < minutes * 60:
        began = time.monotonic()
        latents, asked = shards.batch(BATCH)
        asked[torch.rand(BATCH) < DROPPED_CAPTIONS] = 0
        for group in training.optimizer.param_groups:
            group["lr"] = rate(training.step, training.seconds / (minutes * 60))
        loss = loss_of(training.model, latents, asked, codebook)
        training.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), 1.0)
        training.optimizer.step()
        training.step += 1
        training.follow()
        recent.append(float(loss.detach()))
        training.seconds += time.monotonic() - began
        if training.step % 50 == 0:
            training.losses.append((training.step, training.seconds, float(np.mean(recent))))
            speed = f"{training.seconds:.0f} s, loss {np.mean(recent):.4f}"
            print(f"step {training.step}, {speed}, {shards.refresh()} samples", flush=True)
            recent.clear()
        if training.step % 100 == 0:
            training.save(path)
    training.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the shards")
    parser.add_argument("--minutes", type=float, default=60, help="training time in all")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--begin-with", type=Path, help="pipeline folder to begin with")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.data, options.minutes, options.data / "denoiser.pt", options.begin_with)


if __name__ == "__main__":
    main()
