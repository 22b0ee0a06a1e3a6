"""How a model is made to fit: decided before it is loaded, from sizes alone. No torch.

The figures for what a picture needs beside the weights are estimates on the safe side; where they are wrong
all the same, the job is tried once more with the next lower-memory plan (`fallback_level`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

MIB: Final = 1 << 20
GIB: Final = 1 << 30

#: Kept free on a GPU for the context, the libraries and fragmentation.
GPU_RESERVE: Final = 1 * GIB
#: Kept free in the host's memory.
HOST_RESERVE: Final = 512 * MIB
#: What a picture needs beside the weights, in bytes per pixel at 2 bytes a number: mostly the VAE's decoding.
BYTES_PER_PIXEL: Final = 3000
#: The same where the VAE decodes tile by tile: what is left grows slowly.
BYTES_PER_PIXEL_TILED: Final = 1000
#: The part of the largest component that is on the device at once when its blocks are moved one by one.
GROUP_SHARE: Final = 0.1
SEQUENTIAL_SHARE: Final = 0.03


class Placement(StrEnum):
    """Where the weights are while they are not in use."""

    RESIDENT = "resident"
    MODEL_OFFLOAD = "model_offload"
    GROUP_OFFLOAD = "group_offload"
    SEQUENTIAL_OFFLOAD = "sequential_offload"


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a model and a picture need: bytes of weights as they are loaded, and the picture's size."""

    weights: int
    largest: int
    #: The same with the denoiser in 8 bits.
    weights_fp8: int
    largest_fp8: int
    pixels: int
    #: Bytes of a number in computation.
    width: int

    def activations(self, *, tiled: bool, pixels: int | None = None) -> int:
        """What drawing needs beside the weights."""
        each = BYTES_PER_PIXEL_TILED if tiled else BYTES_PER_PIXEL
        return (self.pixels if pixels is None else pixels) * each * self.width // 2


@dataclass(frozen=True, kw_only=True)
class AvailableMemory:
    """What is free: bytes of the device and of the host. For the CPU both are the same memory."""

    is_gpu: bool
    device_free: int
    host_free: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a model is loaded. `device_bytes` is what it is expected to need there, weights and picture."""

    placement: Placement
    vae_tiling: bool
    fp8: bool
    #: The weights that are on the device at once.
    weight_bytes: int
    device_bytes: int
    host_bytes: int
    fits: bool

    def describe(self) -> dict[str, Any]:
        """For the log, the status file and the sidecar."""
        return {
            "placement": self.placement.value,
            "vae_tiling": self.vae_tiling,
            "fp8": self.fp8,
            "fits": self.fits,
            "expected_gib": round(self.device_bytes / GIB, 2),
        }


Memory = Literal["auto", "resident", "model_offload", "group_offload", "sequential_offload"]
Quantisation = Literal["none", "fp8", "auto"]


def choose(
    need: Need, available: AvailableMemory, memory: Memory, quantisation: Quantisation, *, fallback_level: int = 0
) -> Plan:
    """The fastest plan that fits, or the one that needs least (its `fits` is then False).

    With `fallback_level` n it is the nth below that: the one above ran out of memory.
    """
    plans = ladder(need, available, memory, quantisation)
    first = next((number for number, plan in enumerate(plans) if plan.fits), len(plans) - 1)
    return plans[min(first + fallback_level, len(plans) - 1)]


def has_lower_memory_plan(
    need: Need, available: AvailableMemory, memory: Memory, quantisation: Quantisation, fallback_level: int
) -> bool:
    """Whether there is a plan beyond the one that `choose` gives."""
    plan = choose(need, available, memory, quantisation, fallback_level=fallback_level)
    return plan != choose(need, available, memory, quantisation, fallback_level=fallback_level + 1)


def ladder(need: Need, available: AvailableMemory, memory: Memory, quantisation: Quantisation) -> list[Plan]:
    """The plans that the catalog allows, from the fastest to the one that needs least."""
    placements = _placements(available, memory)
    plans = []
    for placement in placements:
        for fp8 in _widths(quantisation, placement):
            for tiled in (False, True):
                if placement is Placement.RESIDENT or tiled:  # whoever offloads can as well tile
                    plans.append(_plan(need, available, placement, fp8=fp8, tiled=tiled))
    return plans


def _placements(available: AvailableMemory, memory: Memory) -> list[Placement]:
    if not available.is_gpu:
        return [Placement.RESIDENT]  # offloading moves weights to the CPU's memory, where they are already
    return list(Placement) if memory == "auto" else [Placement(memory)]


def _widths(quantisation: Quantisation, placement: Placement) -> list[bool]:
    """Whether the denoiser is in 8 bits, in order of preference."""
    if placement is Placement.SEQUENTIAL_OFFLOAD:
        return [False]  # moving single layers undoes the casting
    return {"none": [False], "fp8": [True], "auto": [False, True]}[quantisation]


def _plan(need: Need, available: AvailableMemory, placement: Placement, *, fp8: bool, tiled: bool) -> Plan:
    weights = need.weights_fp8 if fp8 else need.weights
    largest = need.largest_fp8 if fp8 else need.largest
    on_device = {
        Placement.RESIDENT: weights,
        Placement.MODEL_OFFLOAD: largest,
        Placement.GROUP_OFFLOAD: int(largest * GROUP_SHARE),
        Placement.SEQUENTIAL_OFFLOAD: int(largest * SEQUENTIAL_SHARE),
    }[placement]
    device_bytes = on_device + need.activations(tiled=tiled)
    host_bytes = weights if available.is_gpu and placement is not Placement.RESIDENT else 0
    reserve = GPU_RESERVE if available.is_gpu else HOST_RESERVE
    fits = device_bytes + reserve <= available.device_free and (
        host_bytes == 0 or host_bytes + HOST_RESERVE <= available.host_free
    )
    return Plan(
        placement=placement,
        vae_tiling=tiled,
        fp8=fp8,
        weight_bytes=on_device,
        device_bytes=device_bytes,
        host_bytes=host_bytes,
        fits=fits,
    )


def largest_side(need: Need, available: AvailableMemory, plan: Plan, multiple: int) -> int:
    """The side (pixels) of the largest square picture that should fit with this plan; 0 if none does."""
    reserve = GPU_RESERVE if available.is_gpu else HOST_RESERVE
    left = available.device_free - reserve - (plan.device_bytes - need.activations(tiled=plan.vae_tiling))
    per_pixel = need.activations(tiled=plan.vae_tiling, pixels=1000) / 1000
    pixels = min(left / per_pixel, need.pixels * 0.6)  # it has just failed at `need.pixels`
    return max(0, int(pixels**0.5) // multiple * multiple) if pixels > 0 else 0


def images_at_once(pixels: int, width: int, plan: Plan, free: int, *, is_gpu: bool, wanted: int) -> int:
    """How many of the `wanted` pictures of one job can be drawn together by a model that is loaded; at least one.

    `free` are the device's bytes beside what the model keeps there. The pictures are decoded one by one.
    """
    still_to_come = 0 if plan.placement is Placement.RESIDENT else plan.weight_bytes
    first = pixels * (BYTES_PER_PIXEL_TILED if plan.vae_tiling else BYTES_PER_PIXEL) * width // 2
    further = pixels * BYTES_PER_PIXEL_TILED * width // 2
    left = free - (GPU_RESERVE if is_gpu else HOST_RESERVE) - still_to_come - first
    return max(1, min(wanted, 1 + left // further))


def to_evict(
    loaded: list[tuple[str, int]], need: Need, available: AvailableMemory, memory: Memory, quantisation: Quantisation
) -> int:
    """How many of the loaded models (least recently used first, with their bytes) must go for the best plan.

    The best plan is the one that the model would get if it were alone; others stay as long as it fits.
    """
    alone = AvailableMemory(
        is_gpu=available.is_gpu,
        device_free=available.device_free + sum(size for _, size in loaded),
        host_free=available.host_free,
    )
    best = choose(need, alone, memory, quantisation)
    freed = 0
    for count in range(len(loaded) + 1):
        now = AvailableMemory(
            is_gpu=available.is_gpu, device_free=available.device_free + freed, host_free=available.host_free
        )
        plan = choose(need, now, memory, quantisation)
        if plan.fits and (plan.placement, plan.vae_tiling, plan.fp8) == (best.placement, best.vae_tiling, best.fp8):
            return count
        freed += loaded[count][1] if count < len(loaded) else 0
    return len(loaded)
