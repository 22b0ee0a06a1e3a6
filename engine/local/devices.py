"""The accelerator: which one, its name and its memory. Loads torch."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import torch

from engine.contract import DeviceUnavailable
from engine.local import host_memory


@dataclass(frozen=True)
class Device:
    """Where pipelines run: `cpu`, or `cuda:N`."""

    name: str
    title: str

    @property
    def is_cuda(self) -> bool:
        """Whether it is a GPU."""
        return self.name.startswith("cuda")

    def memory(self) -> tuple[int, int]:
        """Free and total bytes of the device's memory; for the CPU, the host's."""
        if self.is_cuda:
            free, total = torch.cuda.mem_get_info(self.name)
            # What torch keeps for later is ours to use, although the driver counts it as taken.
            spare = torch.cuda.memory_reserved(self.name) - torch.cuda.memory_allocated(self.name)
            return free + spare, total
        return host_memory.available(), host_memory.total()

    def used_by_us(self) -> int:
        """Bytes that this process holds on the device."""
        if self.is_cuda:
            return int(torch.cuda.memory_allocated(self.name))
        return host_memory.resident()

    def release_unused(self) -> None:
        """Give back what nothing refers to any more."""
        gc.collect()
        if self.is_cuda:
            torch.cuda.empty_cache()


def choose(wanted: str) -> Device:
    """The device for a setting (`auto`, `cpu`, `cuda`, `cuda:N`); raises DeviceUnavailable."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return Device("cpu", f"CPU, {torch.get_num_threads()} threads")
    name = "cuda:0" if wanted == "cuda" else wanted
    count = torch.cuda.device_count()
    number = name.removeprefix("cuda:")
    if not (number.isascii() and number.isdigit() and int(number) < count):
        raise DeviceUnavailable(
            f"CYBERIMAGE_DEVICE is {wanted!r}, but torch sees {count} CUDA device(s) here; "
            "set it to one that is there, or to auto or cpu."
        )
    torch.cuda.set_device(name)
    return Device(name, torch.cuda.get_device_name(name))
