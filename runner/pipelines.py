"""Loads pipelines and keeps them warm. Loads torch and diffusers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from jobs.catalog import Catalog
from runner.devices import Device
from runner.faults import ModelUnavailable, is_device_fault, is_out_of_memory

logger = logging.getLogger(__name__)

#: How long a model that could not be loaded is not tried again, in seconds.
BAD_MODEL_SECONDS: Final = 600.0


@dataclass(frozen=True, kw_only=True)
class LoadedPipeline:
    """A pipeline in memory, and how it came there."""

    model: str
    pipeline: Any
    dtype: str
    seconds: float
    plan: dict[str, Any] = field(default_factory=dict)
    revision: str | None = None


class Pipelines:
    """The pipelines of this process, by model. A model that cannot be loaded is remembered for a while."""

    def __init__(self, catalog: Catalog, device: Device, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._catalog = catalog
        self._device = device
        self._monotonic = monotonic
        self._loaded: dict[str, LoadedPipeline] = {}
        self._bad: dict[str, tuple[float, str]] = {}

    @property
    def models(self) -> list[str]:
        """The models in memory, the last used last."""
        return list(self._loaded)

    def warm(self, model: str) -> LoadedPipeline | None:
        """The pipeline of a model if it is in memory; it is then the last used."""
        found = self._loaded.pop(model, None)
        if found is not None:
            self._loaded[model] = found
        return found

    def load(self, model: str) -> LoadedPipeline:
        """Load a model, giving up those that leave no room for it.

        Raises ModelUnavailable where the model's files are at fault (for a while without trying again), and
        whatever the device raises.
        """
        self._raise_if_bad(model)
        self.unload_all()
        started = time.monotonic()
        try:
            pipeline = _from_folder(self._catalog.path(model), self._device)
        except Exception as error:
            if is_out_of_memory(error) or is_device_fault(error):
                raise
            raise self._declare_bad(model, error) from error
        loaded = LoadedPipeline(
            model=model, pipeline=pipeline, dtype=_dtype_name(pipeline), seconds=round(time.monotonic() - started, 3)
        )
        self._loaded[model] = loaded
        return loaded

    def unload_all(self) -> None:
        """Give all pipelines up."""
        self._loaded.clear()
        self._device.release_unused()

    def _raise_if_bad(self, model: str) -> None:
        until, sentence = self._bad.get(model, (0.0, ""))
        if self._monotonic() < until:
            raise ModelUnavailable(sentence)

    def _declare_bad(self, model: str, error: Exception) -> ModelUnavailable:
        logger.error("A model cannot be loaded.", extra={"model": model}, exc_info=error)
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        sentence = f"Model {model} cannot be loaded from {self._catalog.path(model).name}: {reason[:300]}"
        self._bad[model] = (self._monotonic() + BAD_MODEL_SECONDS, sentence)
        return ModelUnavailable(sentence)


def _from_folder(folder: Path, device: Device) -> Any:
    """A pipeline from files: safetensors only, no code from the model, nothing from the network."""
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    pipeline = DiffusionPipeline.from_pretrained(
        str(folder),
        dtype=torch.bfloat16 if device.is_cuda else torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device.name)


def _dtype_name(pipeline: Any) -> str:
    return str(pipeline.dtype).removeprefix("torch.")
