"""The contract between the runner and whatever makes pictures: run this task, report steps, give me images.

An *engine* draws. It knows nothing of jobs, spools, files of ours or HTTP, so it may live in the worker's process
or on another machine. Nothing here loads torch. `tests/unit/engine/test_contract.py` holds every engine to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from PIL.Image import Image

from jobs.schema import EffectiveSettings


@dataclass(frozen=True, kw_only=True)
class DrawTask:
    """What to draw: one image per seed, in this order. Image k of a job has the seed of the job + k - 1."""

    #: A key of the catalog.
    model: str
    prompt: str
    negative_prompt: str | None
    #: `num_images` and `seed` are the job's; what is drawn is in `seeds`.
    settings: EffectiveSettings
    seeds: tuple[int, ...]
    #: The picture to begin from, and what of it is drawn anew (white; black is kept), both in the size of the settings:
    #: RGB and grey. None: it is drawn from the words alone, or all of it is drawn anew.
    image: Image | None = None
    mask: Image | None = None
    #: 0 for the fastest plan that fits; 1 for the next one that needs less memory, after running out of it.
    fallback_level: int = 0


@dataclass(frozen=True, kw_only=True)
class MadeWith:
    """What made an image, for its sidecar."""

    #: As a person would call it: the name of the GPU.
    device: str
    dtype: str
    #: The noise schedule, as its diffusers class is called without "Scheduler".
    scheduler: str | None
    #: Options that tell schedules of one class apart (`use_karras_sigmas`), by their names in diffusers.
    scheduler_options: dict[str, Any]
    #: Of the weights.
    revision: str | None
    #: What was changed to make it fit or fast; empty if nothing.
    plan: dict[str, Any]
    #: Package name to version.
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class DrawnImage:
    """One image, in the size that the task asks for."""

    seed: int
    image: Image
    #: The one that was used; None where the model has no use for it.
    negative_prompt: str | None
    #: The pipeline's time for it.
    duration_seconds: float
    #: Sentences about an image that is hardly what was wanted.
    warnings: tuple[str, ...]
    made_with: MadeWith


class Listener(Protocol):
    """What an engine tells while it draws. Every method may raise, which ends the task with that error."""

    def loading(self, model: str) -> AbstractContextManager[None]:
        """A model is loaded within the context. Loading has no steps at which it could be interrupted."""

    def loaded(self, model: str, seconds: float, plan: dict[str, Any], models: list[str]) -> None:
        """The model is in memory, as are all of `models`, the last used last."""

    def warming_up(self, model: str) -> None:
        """The model's kernels are compiled, which may take a minute without a word."""

    def drawing(self) -> None:
        """The first step begins."""

    def warned(self, sentence: str) -> None:
        """Something about the whole task is otherwise than asked, as words that the model does not read."""

    def step(self, index: int, step: int, steps: int) -> None:
        """Step `step` (from 1) of the `steps` that the image of `seeds[index]` takes is done.

        An image that begins from a picture takes fewer than the settings say.
        """

    def preview(self, webp: bytes) -> None:
        """How the current image looks so far, as a small WebP."""

    def check_interrupts(self) -> None:
        """Raise if the task should end now."""


class Engine(Protocol):
    """Draws tasks, one at a time."""

    @property
    def device(self) -> str:
        """`cpu`, `cuda:0`, ...: what one engine at a time may use."""

    @property
    def device_name(self) -> str:
        """The device as a person would call it."""

    def draw(self, task: DrawTask, listener: Listener) -> Iterator[DrawnImage]:
        """The images of a task, each as soon as it is drawn.

        Raises the errors of this module, whatever the listener raises, and for a fault of this one task any
        other exception (ValueError and TypeError: the model refuses the request).
        """

    def why_replace(self) -> str | None:
        """A sentence if this process should be replaced before the next task; None if it is sound."""


class DeviceUnavailable(Exception):
    """The device that the settings name is not there; the message says what is. Raised when an engine is made."""


class ModelUnavailable(Exception):
    """The model cannot be loaded; the message is one sentence that says why and what to do."""


class TooLarge(Exception):
    """Model and picture are larger than the memory; trying would only get the process killed."""


class OutOfMemory(Exception):
    """The device ran out of memory. The message says what would fit.

    `has_lower_memory_plan`: the same task may succeed with the next `fallback_level`, in a new process.
    """

    def __init__(self, message: str, *, has_lower_memory_plan: bool) -> None:
        super().__init__(message)
        self.has_lower_memory_plan = has_lower_memory_plan


class DeviceFault(Exception):
    """The device's context is lost; only a new process can go on."""
