"""Makes a pipeline from a model folder as its plan says. Loads torch and diffusers."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import os
import shutil
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError

from engine.local import faults, weights
from engine.local.devices import Device
from engine.local.memory_plan import Placement, Plan
from engine.local.weights import DENOISERS
from jobs.abilities import BY_PIPELINE
from jobs.catalog import ModelEntry, Speed

logger = logging.getLogger(__name__)

#: Parameters of pipelines that need a picture or make a film. (Their lists in diffusers take a second to import.)
_OF_OTHER_KINDS: Final = frozenset({"strength", "mask_image", "num_frames", "video"})


def dtype_of(entry: ModelEntry, device: Device) -> torch.dtype:
    """The type of the numbers that a model computes with here."""
    if entry.dtype is not None:
        chosen: torch.dtype = getattr(torch, entry.dtype)
        return chosen
    return torch.bfloat16 if device.is_cuda else torch.float32


def load(folder: Path, entry: ModelEntry, plan: Plan, device: Device) -> tuple[Any, dict[str, Any]]:
    """A pipeline, and what was done for speed. Raises DamagedModel, and whatever diffusers and the device raise."""
    _check_kind(folder)
    pipeline = _from_folder(folder, dtype_of(entry, device), _straight_to(plan, device))
    return pipeline, prepare(pipeline, entry, plan, device)


def preview_decoder(folder: Path | None, entry: ModelEntry, device: Device) -> Any:
    """The small decoder for previews, on the device; None where there is none, or none that can be used.

    Without it the pictures are the same, so a broken one is only logged.
    """
    if folder is None or not folder.is_dir():
        return None
    from diffusers import AutoencoderTiny

    try:
        decoder = AutoencoderTiny.from_pretrained(
            str(folder), torch_dtype=dtype_of(entry, device), use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        if faults.classify(error):
            raise
        logger.warning("The preview decoder %s cannot be used: %s", entry.preview_decoder, faults.first_line(error))
        return None
    return decoder.to(device.name)


def prepare(pipeline: Any, entry: ModelEntry, plan: Plan, device: Device) -> dict[str, Any]:
    """Make a pipeline fit and fast as the plan and the catalog say; returns what was done for speed."""
    denoisers = [part for name in DENOISERS if (part := getattr(pipeline, name, None)) is not None]
    if plan.fp8:
        for denoiser in denoisers:
            denoiser.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype_of(entry, device))
    done = _speed_up(denoisers, entry.speed, plan, device)
    _place(pipeline, plan, device)
    if entry.speed.batch_size > 1:
        _slice_vae(pipeline)
    return done


def set_vae_tiling(pipeline: Any, wanted: bool) -> None:
    """Decode tile by tile (less memory for big pictures) or at once."""
    vae = getattr(pipeline, "vae", None)
    if vae is not None and hasattr(vae, "enable_tiling"):
        vae.enable_tiling() if wanted else vae.disable_tiling()


def _slice_vae(pipeline: Any) -> None:
    """Decode the pictures of a batch one by one: the same pictures, and the memory of one."""
    vae = getattr(pipeline, "vae", None)
    if vae is not None and hasattr(vae, "enable_slicing"):
        vae.enable_slicing()


def _check_kind(folder: Path) -> None:
    """Raise DamagedModel for a pipeline that diffusers does not have, or that cannot draw from a text alone."""
    import diffusers

    name = weights.read_index(folder)["_class_name"]
    kind = getattr(diffusers, name, None)
    if kind is None:
        raise weights.DamagedModel(
            f"{folder.name} is made for {name}, which diffusers {diffusers.__version__} does not have; "
            "use a newer diffusers, or another model."
        )
    takes = inspect.signature(kind.__call__).parameters
    is_known = name in BY_PIPELINE  # what it needs is asked of every request
    if "prompt" not in takes or not (is_known or _OF_OTHER_KINDS.isdisjoint(takes)):
        raise weights.DamagedModel(
            f"{folder.name} is a {name}, which does not make a picture from a text alone; use a text-to-image model."
        )


def _from_folder(folder: Path, dtype: torch.dtype, device_map: str | None) -> Any:
    """A pipeline from files: safetensors only, no code from the model, nothing from the network."""
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    pipeline = DiffusionPipeline.from_pretrained(
        str(folder),
        variant=weights.variant_of(folder),
        dtype=dtype,
        device_map=device_map,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _straight_to(plan: Plan, device: Device) -> str | None:
    """Where the files are read to: straight to the GPU where the plan leaves the weights there unchanged.

    diffusers takes no number here, only "cuda", which transformers reads as the first GPU (or LOCAL_RANK). So
    the models of another GPU go through the host's memory.
    """
    is_first = device.name == "cuda:0" and "LOCAL_RANK" not in os.environ
    return "cuda" if is_first and plan.placement is Placement.RESIDENT and not plan.fp8 else None


def _place(pipeline: Any, plan: Plan, device: Device) -> None:
    set_vae_tiling(pipeline, plan.vae_tiling)
    match plan.placement:
        case Placement.RESIDENT:
            if _straight_to(plan, device) is None:
                pipeline.to(device.name)
        case Placement.MODEL_OFFLOAD:
            pipeline.enable_model_cpu_offload(device=device.name)
        case Placement.GROUP_OFFLOAD:
            pipeline.enable_group_offload(
                onload_device=torch.device(device.name), offload_type="leaf_level", use_stream=True
            )
        case Placement.SEQUENTIAL_OFFLOAD:
            pipeline.enable_sequential_cpu_offload(device=device.name)


def _speed_up(denoisers: list[Any], speed: Speed, plan: Plan, device: Device) -> dict[str, Any]:
    """Apply the catalog's speed options; returns those that took effect."""
    done: dict[str, Any] = {}
    for denoiser in denoisers:
        if speed.attention and device.is_cuda:
            denoiser.set_attention_backend(speed.attention)
            done["attention"] = speed.attention
        if speed.first_block_cache is not None:
            from diffusers import FirstBlockCacheConfig

            if not hasattr(denoiser, "enable_cache"):
                raise weights.DamagedModel(
                    f"speed.first_block_cache does not work with {type(denoiser).__name__}; remove it from the catalog."
                )
            denoiser.enable_cache(FirstBlockCacheConfig(threshold=speed.first_block_cache))
            done["first_block_cache"] = speed.first_block_cache
        if speed.compile and (reason := _why_not_compile(denoiser, plan, device)):
            logger.info("The model is not compiled: %s", reason)
        elif speed.compile:
            denoiser.compile_repeated_blocks()
            done["compile"] = "repeated blocks"
    if speed.batch_size > 1:
        done["batch_size"] = speed.batch_size
    return done


def _why_not_compile(denoiser: Any, plan: Plan, device: Device) -> str | None:
    """What stands against compiling, as a sentence."""
    if not device.is_cuda:
        return "compiling pays on a GPU only."
    if plan.placement is not Placement.RESIDENT or plan.fp8:
        return "its weights are moved or cast while it runs."
    if not getattr(denoiser, "_repeated_blocks", None):
        return "diffusers names no repeated blocks for it."
    if not can_compile():
        return "triton or a C compiler is missing."
    return None


def can_compile() -> bool:
    """Whether torch finds what it compiles kernels with."""
    return importlib.util.find_spec("triton") is not None and bool(shutil.which("cc") or shutil.which("gcc"))
