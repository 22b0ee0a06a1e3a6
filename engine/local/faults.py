"""What an exception from a model or a device means for the job and for the worker. Loads torch."""

from __future__ import annotations

import torch

from jobs.schema import JobError

_DEVICE_WORDS = ("cuda error", "cublas", "cudnn", "nccl", "hip error", "device-side assert")


class ModelUnavailable(Exception):
    """A model cannot be loaded; the message is one sentence that says why and what to do."""


class DoesNotFit(Exception):
    """A model is larger than the memory; trying would only get the process killed."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the host ran out of memory, or certainly would."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError, DoesNotFit)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def is_device_fault(error: BaseException) -> bool:
    """Whether the device's context may be lost, so that only a new process can go on."""
    if isinstance(error, getattr(torch, "AcceleratorError", ())):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _DEVICE_WORDS)


def describe(error: BaseException) -> JobError:
    """The error of a job that failed for a reason of its own."""
    if isinstance(error, ModelUnavailable):
        return JobError(type="model_unavailable", message=str(error))
    if isinstance(error, (ValueError, TypeError)):
        return JobError(type="invalid_settings", message=f"The model refused the request: {first_line(error)}")
    return JobError(type="internal", message=f"Generation failed: {type(error).__name__}: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """The first line of an error's text, at a bearable length."""
    line = str(error).strip().partition("\n")[0]
    return line if len(line) <= 300 else line[:297] + "..."
