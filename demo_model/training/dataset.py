"""Scenes, their requests and their latents on disk, in shards that training reads.

python -m demo_model.training.dataset --out WORK --shards 40
"""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from demo_model.training.latents import PatchCode, fit
from demo_model.training.scene import complete, random_request
from demo_model.training.slots import indices
from demo_model.training.world import paint

STORED_CODE = Path(__file__).with_name("patch_code.npz")
SHARD = 2048
PICTURE_SHARDS = 6
"""Only the first shards keep their pictures (400 MB each); the decoder learns from them."""


def draw(seed: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """``count`` pictures, and what was asked for each."""
    rng = Random(seed)
    pictures, asked = [], []
    for _ in range(count):
        request = random_request(rng)
        pictures.append(paint(complete(request, rng)))
        asked.append(indices(request))
    return np.stack(pictures), np.array(asked)


def patch_code() -> PatchCode:
    """The code that the shipped model uses; fitted anew only where its file was removed.

    It is kept with the source, because another fit would turn some axes around and the
    trained weights would no longer understand it.
    """
    if not STORED_CODE.exists():
        fit(draw(seed=1, count=1500)[0]).save(STORED_CODE)
    return PatchCode.load(STORED_CODE)


def write_shard(out: Path, number: int) -> None:
    """Draw shard ``number`` and write it; does nothing where it is already there."""
    path = out / f"shard_{number:03d}.npz"
    if path.exists():
        return
    pictures, asked = draw(seed=1000 + number, count=SHARD)
    if number < PICTURE_SHARDS:
        np.save(out / f"pictures_{number:03d}.npy", pictures)
    latents = patch_code().encode(pictures).astype(np.float16)
    unfinished = path.with_suffix(".part.npz")
    np.savez(unfinished, latents=latents, asked=asked)
    unfinished.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--shards", type=int, default=40, help="how many shards")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(options.shards):
        write_shard(options.out, number)
        print(f"shard {number + 1} of {options.shards}", flush=True)


if __name__ == "__main__":
    main()
