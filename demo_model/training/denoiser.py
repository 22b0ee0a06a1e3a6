"""Training the denoiser on latents and encoded prompts; stops at a wall-clock budget.

    python -m demo_model.training.denoiser --data WORK --minutes 60

Resumes from ``WORK/denoiser.pt`` where there is one. The learning rate falls steadily over
the budget, counted over all resumed runs together.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor

from demo_model.training.command_line import run_parser
from demo_model.training.examples import Examples, Reader
from demo_model.training.latents import CHANNELS, GRID, PART
from demo_model.training.slots import WIDTH

BATCH = 32
PEAK_RATE = 1.0e-3
WARM_UP_STEPS = 150
THING_WEIGHT = 4.0
"""Channels about things count this much in the loss; most cells have nothing to say in them."""
LEAST_DEVIATION = 0.15
"""Below this much noise the weight in the loss grows no more."""
EMA_DECAY = 0.998
FIRST_SEED = 1_000_000
DROPPED_CAPTIONS = 0.1

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "sample",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}


def new_denoiser() -> UNet2DConditionModel:
    """The denoiser with random weights."""
    return UNet2DConditionModel(
        sample_size=GRID,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(64, 112, 160),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


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
    return (1000 * spread**0.45).long().clamp(max=999)


def time_weight(times: Tensor) -> Tensor:
    """The weight of each sample in the loss: more where there is little noise, and errors are small."""
    deviation: Tensor = (1 - NOISER.alphas_cumprod[times]).sqrt()
    return 1 / deviation.clamp(min=LEAST_DEVIATION)[:, None, None, None]


def channel_weight() -> Tensor:
    """The weight of each channel in the loss."""
    weight = torch.ones(CHANNELS, 1, 1)
    for part in ("kind", "colour", "place in thing", "height"):
        weight[PART[part]] = THING_WEIGHT
    return weight / weight.mean()


def loss_of(model: UNet2DConditionModel, latents: Tensor, prompts: Tensor) -> Tensor:
    """Weighted squared error of the predicted latents.

    The network predicts the clean latents and not the noise in them: they lie near a surface of few dimensions, while
    noise would have to be carried through all its layers in all channels (see "Back to Basics: Let Denoising Generative
    Models Denoise", Li and He 2025).
    """
    times = random_times(len(latents))
    noise = torch.randn_like(latents)
    noised = NOISER.add_noise(latents, noise, times)
    noised = noised.to(memory_format=torch.channels_last)
    predicted: Tensor = model(noised, times, prompts).sample
    return (time_weight(times) * channel_weight() * (predicted - latents) ** 2).mean()


NOISER = DDPMScheduler(**SCHEDULE)


def train(minutes: float, path: Path, begin_with: Path | None = None) -> None:
    """Train until ``minutes`` of training have been spent in all; saves as it goes."""
    training = Training.start(path, begin_with)
    torch.manual_seed(training.step)
    examples = Examples(FIRST_SEED + training.step, Reader(path.parent))
    recent: list[float] = []
    while training.seconds < minutes * 60:
        began = time.monotonic()
        latents, prompts = examples.drawn(BATCH)
        prompts[torch.rand(BATCH) < DROPPED_CAPTIONS] = examples.no_prompt
        for group in training.optimizer.param_groups:
            group["lr"] = rate(training.step, training.seconds / (minutes * 60))
        loss = loss_of(training.model, latents, prompts)
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
            print(f"step {training.step}, {training.seconds:.0f} s, loss {np.mean(recent):.4f}", flush=True)
            recent.clear()
        if training.step % 100 == 0:
            training.save(path)
    training.save(path)


def main() -> None:
    parser = run_parser(__doc__, minutes=60)
    parser.add_argument("--begin-with", type=Path, help="pipeline folder to begin with")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.minutes, options.data / "denoiser.pt", options.begin_with)


if __name__ == "__main__":
    main()
