"""Seconds per image and peak memory of a model of FLUX.1-dev's shape with random weights, by speed option.

Time and memory do not depend on the values of the weights, so they are made on the device, not read. Everything
else goes through the code that jobs go through: the plan, the preparation and the call. Each row is drawn by a
process of its own. Needs one CUDA device with 40 GB, no network and no disk; ends within `--minutes` (8): what
there is no time for is said in the table.

    python -m bench.gpu_flux [--rounds 2] [--minutes 8] [--only NAME ...]

Exit status: 0 when the table was printed, 69 (EX_UNAVAILABLE) when there is no GPU that is large enough, 1 when a
row failed. `--tiny` walks the same path on a CPU with a tiny model; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec

from jobs.catalog import Catalog, ModelEntry, Speed
from jobs.schema import EffectiveSettings

EX_UNAVAILABLE: Final = 69
NEEDED_GB: Final = 40
#: What a row takes at least; with less time left it is not begun, in seconds.
LEAST_SECONDS: Final = 40.0
_SHIPPED: Final = Catalog.load(Path(__file__).resolve().parent.parent / "models.toml", Path()).models
_PLAIN: Final = msgspec.structs.replace(_SHIPPED["flux-1"], speed=Speed())


def _with(**speed: Any) -> ModelEntry:
    return msgspec.structs.replace(_PLAIN, speed=Speed(**speed))


#: By name: what the catalog would say. `eager bf16` is what the others are compared with.
OPTIONS: Final[dict[str, ModelEntry]] = {
    "eager bf16": _PLAIN,
    "default plan (flux-1)": _SHIPPED["flux-1"],
    "default plan (flux-2, fp8 weights)": _SHIPPED["flux-2"],
    "compile + cuDNN attention": _with(compile=True, attention="_native_cudnn"),
    "compile + first block cache 0.08 (lossy)": _with(compile=True, first_block_cache=0.08),
    "compile, batch of 4": _with(compile=True, batch_size=4),
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a model and of what it draws."""

    side: int
    steps: int
    sequence: int
    transformer: dict[str, Any]
    t5: dict[str, Any]
    clip: dict[str, Any]
    vae: dict[str, Any]


#: The transformer's own defaults in diffusers are those of FLUX.1-dev, but for the guidance.
FLUX_DEV: Final = Shape(
    side=1024,
    steps=28,
    sequence=512,
    transformer={"guidance_embeds": True},
    t5={"vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64},
    clip={"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12},
    vae={"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 16},
)
TINY: Final = Shape(
    side=32,
    steps=2,
    sequence=32,
    transformer={
        "guidance_embeds": True,
        "in_channels": 4,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 32,
        "pooled_projection_dim": 32,
        "axes_dims_rope": (4, 4, 8),
    },
    t5={"vocab_size": 100, "d_model": 32, "d_kv": 8, "d_ff": 37, "num_layers": 2, "num_heads": 4},
    clip={"hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4, "num_hidden_layers": 2},
    vae={"block_out_channels": (8, 16), "layers_per_block": 1, "latent_channels": 1, "norm_num_groups": 4},
)


def make_pipeline(shape: Shape, device: str, dtype: Any) -> Any:
    """A FluxPipeline of that shape with random weights, made on the device."""
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    from tests.tiny_models import letter_tokenizers

    clip_tokenizer, t5_tokenizer = letter_tokenizers()
    levels = len(shape.vae["block_out_channels"])
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            parts = {
                "transformer": FluxTransformer2DModel(**shape.transformer),
                "text_encoder": CLIPTextModel(CLIPTextConfig(**shape.clip)),
                "text_encoder_2": T5EncoderModel(T5Config(feed_forward_proj="gated-gelu", **shape.t5)),
                "vae": AutoencoderKL(
                    down_block_types=("DownEncoderBlock2D",) * levels,
                    up_block_types=("UpDecoderBlock2D",) * levels,
                    use_quant_conv=False,
                    use_post_quant_conv=False,
                    shift_factor=0.1159,
                    scaling_factor=0.3611,
                    **shape.vae,
                ),
            }
    finally:
        torch.set_default_dtype(before)
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
        tokenizer=clip_tokenizer,
        tokenizer_2=t5_tokenizer,
        **parts,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(name: str, shape: Shape, wanted_device: str, rounds: int) -> dict[str, Any]:
    """Prepare a pipeline with one option, draw a first time and then some more; returns the figures."""
    import torch

    from engine.local import host_memory, loading, memory_plan
    from engine.local.devices import choose
    from engine.local.generation import ImageRequest, generate
    from engine.local.pipelines import need_of
    from engine.local.weights import ModelFiles

    device, entry = choose(wanted_device), OPTIONS[name]
    available = memory_plan.AvailableMemory(
        is_gpu=device.is_cuda, device_free=device.memory()[0], host_free=host_memory.available()
    )
    dtype = loading.dtype_of(entry, device)
    started = time.perf_counter()
    pipeline = make_pipeline(shape, device.name, dtype)
    made = time.perf_counter() - started
    modules = {key: part for key, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
    sizes = {key: sum(number.numel() for number in part.parameters()) for key, part in modules.items()}
    need = need_of(ModelFiles(sizes, None), dtype.itemsize, shape.side**2)
    plan = memory_plan.choose(need, available, entry.memory, entry.quantisation)
    speed = loading.prepare(pipeline, entry, plan, device)
    images = entry.speed.batch_size
    request = ImageRequest(
        prompt="a castle",
        negative_prompt=None,
        settings=EffectiveSettings(
            num_inference_steps=shape.steps,
            guidance_scale=3.5,
            height=shape.side,
            width=shape.side,
            max_sequence_length=shape.sequence,
            seed=0,
        ),
        seeds=list(range(images)),
    )

    def once() -> float:
        started = time.perf_counter()
        for _ in generate(pipeline, request, entry.capabilities, lambda *_: None, batch_size=images):
            pass
        if device.is_cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / images

    device.release_unused()
    if device.is_cuda:
        torch.cuda.reset_peak_memory_stats()
    first = once() * images
    seconds = median(once() for _ in range(rounds if images == 1 else 1))
    peak = torch.cuda.max_memory_allocated() if device.is_cuda else host_memory.resident()
    figures = {"made": made, "first": first, "seconds": seconds, "peak": peak / 1e9, "device": device.title}
    return figures | {"parameters": sum(sizes.values()), "plan": plan.describe() | speed}


def _draw_apart(name: str, options: argparse.Namespace, deadline: float, cache: str) -> dict[str, Any]:
    """`draw` in a process of its own, with what time is left."""
    left = deadline - time.monotonic()
    if left < LEAST_SECONDS:
        return {"fault": "no time left"}
    command = [sys.executable, "-m", "bench.gpu_flux", "--draw", name, "--rounds", str(options.rounds)]
    command += ["--tiny"] if options.tiny else []
    # Compiled kernels of earlier runs must not make the first picture look quick.
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": cache, "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=left, env=environment)
    except subprocess.TimeoutExpired:
        return {"fault": f"not done within the {left:.0f} s that were left"}
    if done.returncode:
        return {"fault": (done.stderr.strip().splitlines() or ["no reason given"])[-1], "failed": True}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _print_row(name: str, row: dict[str, Any], eager: float | None) -> None:
    if "fault" in row:
        print(f"| {name} | {row['fault']} | | | | |", flush=True)
        return
    ratio = f"{eager / row['seconds']:.2f}x" if eager else ""
    placement = row["plan"]["placement"]
    print(
        f"| {name} | {row['seconds']:.2f} | {ratio} | {row['first']:.1f} | {row['peak']:.1f} | {placement} |",
        flush=True,
    )


def _measure(options: argparse.Namespace) -> int:
    """Print the table row by row; returns the exit status."""
    import diffusers
    import torch

    where = "a CPU and a tiny model: the figures mean nothing" if options.tiny else torch.cuda.get_device_name()
    print(f"{where}; torch {torch.__version__}, diffusers {diffusers.__version__}, {time.strftime('%Y-%m-%d')}")
    print("| option | s/image | against eager | first picture s | peak GB | placement |")
    print("| --- | --- | --- | --- | --- | --- |")
    deadline = time.monotonic() + 60 * options.minutes
    eager, has_failed = None, False
    with tempfile.TemporaryDirectory(prefix="compiled-") as folder:
        for number, name in enumerate(options.only):
            row = _draw_apart(name, options, deadline, str(Path(folder) / str(number)))
            eager = row.get("seconds") if name == "eager bf16" else eager
            has_failed = has_failed or "failed" in row
            _print_row(name, row, eager)
    return 1 if has_failed else 0


def _why_not() -> str | None:
    """What stands against measuring here, as a sentence."""
    import torch

    if not torch.cuda.is_available():
        return "There is no CUDA device here; nothing was measured."
    total = torch.cuda.get_device_properties(0).total_memory / 1e9
    if total < NEEDED_GB:
        return f"{torch.cuda.get_device_name()} has {total:.0f} GB, but {NEEDED_GB} are needed; nothing was measured."
    return None


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu_flux", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2, help="pictures by row after the first")
    parser.add_argument("--minutes", type=float, default=8.0, help="all rows end within this time")
    parser.add_argument("--only", nargs="+", choices=list(OPTIONS), default=list(OPTIONS))
    parser.add_argument("--tiny", action="store_true", help="walk through on a CPU; the figures mean nothing")
    parser.add_argument("--draw", choices=list(OPTIONS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    reason = None if options.tiny else _why_not()
    if reason:
        print(reason)
        return EX_UNAVAILABLE
    if options.draw:
        device = "cpu" if options.tiny else "cuda"
        print(json.dumps(draw(options.draw, TINY if options.tiny else FLUX_DEV, device, options.rounds)))
        return 0
    return _measure(options)


if __name__ == "__main__":
    sys.exit(main())
