"""Measure how well pictures follow their prompts, with detectors and fixed seeds.

    python -m demo_model.evaluate --count 200

Prints the rates for the demo model and, first, for the painter's own pictures of the
same requests: what the detectors get wrong there is their own error.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline

from demo_model.detectors import Picture, colour_at, ground_of, sky_of, thing_in
from demo_model.prompts import Measured, measured_prompts
from demo_model.silhouettes import kind_at
from demo_model.training.layout import FLYING, arranged
from demo_model.training.scene import KINDS, PLACES, complete
from demo_model.training.world import paint

PIPELINE = Path(__file__).parent / "pipeline"
REQUIRED = {"sky": 0.95, "ground": 0.95, "colour": 0.95, "position": 0.90, "both colours": 0.80, "kind": 0.80}
"""The least share of right pictures for each check."""


def checks(picture: Picture, asked: Measured) -> dict[str, bool]:
    """What the detectors say of one picture: name of the check, and whether it is right."""
    request = asked.request
    results = {
        "sky": sky_of(picture) == request.sky,
        "ground": ground_of(picture) == request.ground,
    }
    placed = [(place, thing) for place, thing in zip(PLACES, request.things, strict=True) if thing.kind in KINDS]
    if len(placed) == 1:
        place, thing = placed[0]
        found = thing_in(picture, thing.kind in FLYING)
        results["colour"] = found.colour == thing.colour
        results["position"] = found.colour is not None and found.place == place
        results["kind"] = kind_at(picture, place, thing.colour) == thing.kind
    else:
        results["both colours"] = all(
            colour_at(picture, place, thing.kind in FLYING)[0] == thing.colour for place, thing in placed
        )
    return results


def rates(results: Iterable[dict[str, bool]]) -> dict[str, float]:
    """The share of right answers for each check."""
    collected: dict[str, list[bool]] = defaultdict(list)
    for result in results:
        for name, right in result.items():
            collected[name].append(right)
    return {name: float(np.mean(right)) for name, right in collected.items()}


def painted(asked: Measured) -> Picture:
    """The painter's picture of the request."""
    return paint(arranged(complete(asked.request, Random(asked.seed))))


def drawn(pipeline: Any, asked: list[Measured], steps: int, guidance: float) -> list[Picture]:
    """The model's pictures of the prompts, eight at a time."""
    pictures: list[Picture] = []
    for start in range(0, len(asked), 8):
        batch = asked[start : start + 8]
        result = pipeline(
            [one.text for one in batch],
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=[torch.Generator().manual_seed(one.seed) for one in batch],
            output_type="np",
        )
        pictures += list((result.images * 255).round().astype(np.uint8))
    return pictures


def load(folder: Path) -> Any:
    """The pipeline, without its progress bar."""
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, default=PIPELINE, help="folder of the pipeline")
    parser.add_argument("--count", type=int, default=200, help="how many prompts")
    parser.add_argument("--steps", type=int, default=20, help="denoising steps")
    parser.add_argument("--guidance", type=float, default=2.0, help="guidance scale")
    options = parser.parse_args()
    asked = measured_prompts(options.count)
    own = rates(checks(painted(one), one) for one in asked)
    pipeline, began = load(options.pipeline), time.monotonic()
    pictures = drawn(pipeline, asked, options.steps, options.guidance)
    seconds = (time.monotonic() - began) / len(asked)
    reached = rates(checks(picture, one) for picture, one in zip(pictures, asked, strict=True))
    print(f"{len(asked)} prompts, {options.steps} steps, guidance {options.guidance:g}")
    print(f"{'check':<14}{'model':>8}{'painter':>9}{'required':>10}")
    for name, least in REQUIRED.items():
        print(f"{name:<14}{reached[name]:>8.1%}{own[name]:>9.1%}{least:>10.0%}")
    print(f"{seconds:.2f} s a picture")


if __name__ == "__main__":
    main()
