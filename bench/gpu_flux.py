"""Seconds per image and peak memory of a model of FLUX.1-dev's shape with random weights, by speed option.

Time and memory do not depend on the values of the weights. Each row is drawn by a process of its own, through
the same loading code as jobs. Needs one CUDA device and no network; says so where there is none.

    python -m bench.gpu_flux [--rounds 3] [--only eager compile ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from jobs.catalog import ModelEntry, Speed

SIDE: Final = 1024
STEPS: Final = 28
#: By name: what the catalog would say. `eager` is what the others are compared with.
OPTIONS: Final[dict[str, ModelEntry]] = {
    "eager": ModelEntry(id="x", description="x"),
    "compile": ModelEntry(id="x", description="x", speed=Speed(compile=True)),
    "compile + cuDNN attention": ModelEntry(
        id="x", description="x", speed=Speed(compile=True, attention="_native_cudnn")
    ),
    "fp8 weights": ModelEntry(id="x", description="x", quantisation="fp8"),
    "first block cache 0.08 (lossy)": ModelEntry(
        id="x", description="x", speed=Speed(compile=True, first_block_cache=0.08)
    ),
    "batch of 4": ModelEntry(id="x", description="x", speed=Speed(compile=True, batch_size=4)),
}


def make_weights(folder: Path) -> None:
    """A FluxPipeline with the true shapes of transformer, T5 and CLIP, random, in bfloat16 (33 GB on the disk)."""
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    from tests.tiny_models import letter_tokenizers

    clip_tokenizer, t5_tokenizer = letter_tokenizers()
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        transformer = FluxTransformer2DModel(guidance_embeds=True)
        t5 = T5EncoderModel(
            T5Config(
                vocab_size=32128,
                d_model=4096,
                d_kv=64,
                d_ff=10240,
                num_layers=24,
                num_heads=64,
                feed_forward_proj="gated-gelu",
            )
        )
        clip = CLIPTextModel(
            CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12)
        )
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=16,
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.1159,
            scaling_factor=0.3611,
        )
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
        vae=vae,
        text_encoder=clip,
        tokenizer=clip_tokenizer,
        text_encoder_2=t5,
        tokenizer_2=t5_tokenizer,
        transformer=transformer,
    ).save_pretrained(folder, safe_serialization=True)


def draw(folder: Path, name: str, rounds: int) -> dict[str, Any]:
    """Load with one option, draw a first picture and then some more; answers the figures."""
    import torch

    from jobs.catalog import Catalog
    from runner.devices import choose
    from runner.generation import ImageRequest, generate
    from runner.pipelines import Pipelines

    device, entry = choose("cuda"), OPTIONS[name]
    catalog = Catalog({folder.name: entry}, folder.name, folder.parent, folder.parent)
    started = time.perf_counter()
    loaded = Pipelines(catalog, device).load(folder.name, SIDE * SIDE)
    load_seconds = time.perf_counter() - started
    images = entry.speed.batch_size
    request = ImageRequest(
        prompt="a castle",
        negative_prompt=None,
        num_inference_steps=STEPS,
        guidance_scale=3.5,
        height=SIDE,
        width=SIDE,
        max_sequence_length=512,
        seeds=list(range(images)),
    )

    def once() -> float:
        started = time.perf_counter()
        for _ in generate(loaded.pipeline, request, entry.capabilities, lambda *_: None, batch_size=images):
            pass
        torch.cuda.synchronize()
        return (time.perf_counter() - started) / images

    first = once() * images
    seconds = median(once() for _ in range(rounds))
    peak = torch.cuda.max_memory_allocated() / 1e9
    return {"load": load_seconds, "first": first, "seconds": seconds, "peak": peak, "plan": loaded.describe()}


def _draw_apart(folder: Path, name: str, rounds: int) -> dict[str, Any]:
    """`draw` in a process of its own."""
    command = [sys.executable, "-m", "bench.gpu_flux", "--draw", name, "--folder", str(folder), "--rounds", str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"fault": (done.stderr.strip().splitlines() or ["no reason given"])[-1]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _print_table(rows: dict[str, dict[str, Any]]) -> None:
    import diffusers
    import torch

    eager = rows.get("eager", {}).get("seconds")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, diffusers {diffusers.__version__}")
    print("| option | s/image | against eager | first picture s | load s | peak GB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, row in rows.items():
        if "fault" in row:
            print(f"| {name} | failed: {row['fault']} | | | | |")
            continue
        ratio = f"{eager / row['seconds']:.2f}x" if eager else ""
        print(
            f"| {name} | {row['seconds']:.2f} | {ratio} | {row['first']:.1f} | {row['load']:.1f} | {row['peak']:.1f} |"
        )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_flux", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(OPTIONS), default=list(OPTIONS))
    parser.add_argument("--draw", choices=list(OPTIONS), help=argparse.SUPPRESS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where the 33 GB of weights go (default: a temporary folder)")
    options = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("There is no CUDA device here; nothing was measured.")
        return 0
    if options.make:
        make_weights(options.make)
        return 0
    if options.draw:
        print(json.dumps(draw(options.folder, options.draw, options.rounds)))
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as parent:
        folder = Path(parent) / "flux-shape"
        subprocess.run([sys.executable, "-m", "bench.gpu_flux", "--make", str(folder)], check=True)
        _print_table({name: _draw_apart(folder, name, options.rounds) for name in options.only})
    return 0


if __name__ == "__main__":
    sys.exit(main())
