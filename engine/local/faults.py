"""What an exception from a model or a device means. Loads torch."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import torch

from core.private_paths import without_paths

_DEVICE_WORDS = ("cuda error", "cublas", "cudnn", "nccl", "hip error", "device-side assert")


class Kind(StrEnum):
    """Faults after which the process cannot go on as before."""

    MEMORY = "memory"
    DEVICE = "device"


def classify(error: BaseException) -> Kind | None:
    """What kind of fault an error is; None for one that concerns its task alone."""
    if is_out_of_memory(error):
        return Kind.MEMORY
    return Kind.DEVICE if is_device_fault(error) else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the host ran out of memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def is_device_fault(error: BaseException) -> bool:
    """Whether the device's context may be lost, so that only a new process can go on."""
    if isinstance(error, getattr(torch, "AcceleratorError", ())):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _DEVICE_WORDS)


def first_line(error: BaseException, *folders: Path) -> str:
    """The first line of an error's text, at a bearable length, and without the paths of these and other folders."""
    line = without_paths(str(error).strip().partition("\n")[0], *folders)
    return line if len(line) <= 300 else line[:297] + "..."
