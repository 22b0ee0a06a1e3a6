"""The two pictures of the model card: the grid of examples and the loss curve.

python -m demo_model.training.pictures --data WORK
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from demo_model.evaluate import PIPELINE, load

FOLDER = Path(__file__).parent.parent
EXAMPLES = (
    "a red house and a blue tree",
    "A cyberpunk city at night with neon signs and flying cars, highly detailed",
    "a castle on a hill",
    "a fantasy landscape with mountains",
    "a yellow boat on the sea at sunset",
    "a black cat in the snow under the moon",
    "a pink flower on the left and a purple balloon on the right, rainbow",
    "a white lighthouse on the right, storm at sea",
    "three green trees in a forest by day",
    "an orange car in the desert",
    "two blue spaceships over a city at night",
    "a green castle on the left, a yellow house in the middle, a red flower on the right",
)
"""The prompts of the grid, row by row; the seed of each is its number."""
COLUMNS = 4
INK = (40, 44, 60)


def grid(pipeline: Any, steps: int, guidance: float) -> Image.Image:
    """All examples on one sheet."""
    tiles = []
    for seed, prompt in enumerate(EXAMPLES):
        generator = torch.Generator().manual_seed(seed)
        drawn = pipeline(prompt, num_inference_steps=steps, guidance_scale=guidance, generator=generator)
        tiles.append(np.asarray(drawn.images[0]))
    rows = [np.concatenate(tiles[i : i + COLUMNS], 1) for i in range(0, len(tiles), COLUMNS)]
    return Image.fromarray(np.concatenate(rows))


def loss_curve(losses: list[tuple[int, float, float]]) -> Image.Image:
    """The denoiser's loss (mean of 50 steps) over steps."""
    width, height, margin = 720, 320, 48
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    last, top = losses[-1][0], max(loss for _, _, loss in losses)

    def spot(step: float, loss: float) -> tuple[float, float]:
        across = margin + (width - 2 * margin) * step / last
        return across, height - margin - (height - 2 * margin) * loss / top

    for hundredth in range(0, int(top * 100) + 1, 2):
        level = hundredth / 100
        pen.line([spot(0, level), spot(last, level)], fill=(224, 226, 232))
        pen.text((12, spot(0, level)[1] - 6), f"{level:.2f}", fill=INK)
    pen.line([spot(step, loss) for step, _, loss in losses], fill=(34, 78, 206), width=2)
    pen.text((margin, 14), "denoiser: weighted loss, mean of 50 steps", fill=INK)
    pen.text((width - margin - 80, height - 30), f"step {last}", fill=INK)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--steps", type=int, default=20, help="denoising steps")
    parser.add_argument("--guidance", type=float, default=2.0, help="guidance scale")
    options = parser.parse_args()
    run = torch.load(options.data / "denoiser.pt", weights_only=True)
    loss_curve(run["losses"]).save(FOLDER / "loss.png", optimize=True)
    sheet = grid(load(PIPELINE), options.steps, options.guidance)
    sheet.save(FOLDER / "grid.webp", quality=90, method=6)


if __name__ == "__main__":
    main()
