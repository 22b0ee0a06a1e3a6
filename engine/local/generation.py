"""The seam to diffusers: run a request on a pipeline, report steps, give images.

Knows nothing of spools, paths or HTTP; what calls it may live in this process or on another machine.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from PIL.Image import Image

from engine.local import unread_words as unread
from jobs.catalog import Capabilities
from jobs.schema import EffectiveSettings

#: Called after each step with the image's place in the request (from 0), the step (from 1), the number of steps that it
#: takes, and the latents, if the pipeline shows them; raises to stop.
OnStep = Callable[[int, int, int, torch.Tensor | None], None]

#: Options of diffusers' schedulers of which other tools make different names.
_SCHEDULER_OPTIONS: Final = (
    "algorithm_type",
    "solver_order",
    "solver_type",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
)


class Pipeline(Protocol):
    """What is needed of a diffusers pipeline."""

    def __call__(self, **arguments: Any) -> Any:
        """Draw."""


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """What to draw: one image per seed."""

    prompt: str
    negative_prompt: str | None
    #: In the size that the pipeline draws; `num_images` and `seed` have no meaning here.
    settings: EffectiveSettings
    seeds: Sequence[int]
    #: In the size of the settings as well; see `DrawTask`.
    image: Image | None = None
    mask: Image | None = None


@dataclass(frozen=True, kw_only=True)
class GeneratedImage:
    """One image. `negative_prompt` is the one that was used; `duration_seconds` is the pipeline's time for it."""

    seed: int
    image: Image
    negative_prompt: str | None
    duration_seconds: float
    warnings: tuple[str, ...]


def generate(
    pipeline: Pipeline, request: ImageRequest, capabilities: Capabilities, on_step: OnStep, *, batch_size: int = 1
) -> Iterator[GeneratedImage]:
    """Draw the images one after the other (or `batch_size` at a time); the prompt is encoded only once.

    Each image has a generator of its own, so it is the same whichever others are asked for. The noise
    comes from the CPU's generator: the same on every device. Raises what `on_step` and the pipeline raise.
    """
    arguments = call_arguments(pipeline, request, capabilities)
    with _encoding_once(pipeline):
        for first in range(0, len(request.seeds), batch_size):
            seeds = request.seeds[first : first + batch_size]
            started = time.monotonic()
            images = _call(pipeline, arguments, seeds, first, on_step, request.settings.drawn_steps)
            duration = (time.monotonic() - started) / len(seeds)
            for seed, image in zip(seeds, images, strict=True):
                yield GeneratedImage(
                    seed=seed,
                    image=image,
                    negative_prompt=_used_negative_prompt(arguments, request),
                    duration_seconds=duration,
                    warnings=_look_at(image, request),
                )


def call_arguments(pipeline: Pipeline, request: ImageRequest, capabilities: Capabilities) -> dict[str, Any]:
    """The arguments that this pipeline takes, by its own signature and the catalog's word."""
    settings = request.settings
    wanted: dict[str, Any] = {
        "prompt": request.prompt,
        "num_inference_steps": settings.num_inference_steps,
        "height": settings.height,
        "width": settings.width,
        "max_sequence_length": settings.max_sequence_length,
        "output_type": "pil",
    }
    if capabilities.true_cfg:
        # Guidance by a second pass; without a negative prompt it is not done at all, hence the blank one.
        wanted["true_cfg_scale"] = settings.guidance_scale
        wanted["negative_prompt"] = request.negative_prompt or " "
    else:
        wanted["guidance_scale"] = settings.guidance_scale
        if capabilities.negative_prompt and request.negative_prompt:
            wanted["negative_prompt"] = request.negative_prompt
    if request.image is not None:
        wanted |= {"image": request.image, "mask_image": request.mask, "strength": settings.strength}
    accepted = inspect.signature(pipeline.__call__).parameters
    return {name: value for name, value in wanted.items() if name in accepted}


def unread_words(pipeline: Pipeline, request: ImageRequest, capabilities: Capabilities) -> list[str]:
    """Warnings about the ends of prompts that this pipeline does not read."""
    arguments = call_arguments(pipeline, request, capabilities)
    length = request.settings.max_sequence_length
    named = (("prompt", request.prompt), ("negative prompt", _used_negative_prompt(arguments, request)))
    found = (unread.warning(pipeline, name, text, length) for name, text in named)
    return [sentence for sentence in found if sentence]


def scheduler_name(pipeline: Any) -> str | None:
    """The noise schedule of a pipeline, without the word that all of them share."""
    scheduler = getattr(pipeline, "scheduler", None)
    return None if scheduler is None else type(scheduler).__name__.removesuffix("Scheduler")


def scheduler_options(pipeline: Any) -> dict[str, Any]:
    """What tells noise schedules of one class apart, where the scheduler has it."""
    config = getattr(getattr(pipeline, "scheduler", None), "config", {})
    return {name: config[name] for name in _SCHEDULER_OPTIONS if config.get(name)}


def _used_negative_prompt(arguments: dict[str, Any], request: ImageRequest) -> str | None:
    return request.negative_prompt if "negative_prompt" in arguments else None


def _call(
    pipeline: Any, arguments: dict[str, Any], seeds: Sequence[int], first: int, on_step: OnStep, steps: int
) -> list[Image]:
    """One call of the pipeline for the images with these seeds."""
    accepted = inspect.signature(pipeline.__call__).parameters
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    arguments = arguments | {"generator": generators if len(seeds) > 1 else generators[0]}
    if len(seeds) > 1:
        arguments["num_images_per_prompt"] = len(seeds)
    if "callback_on_step_end" in accepted:

        def after_step(called: Any, index: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            # Schedulers of higher order call back more often than there are steps: for each call of the denoiser.
            order = getattr(getattr(called, "scheduler", None), "order", 1)
            done = (getattr(called, "num_timesteps", steps * order) - 1) // order + 1
            on_step(first, min(index // order + 1, done), done, tensors.get("latents"))
            return tensors

        arguments["callback_on_step_end"] = after_step
    try:
        images: list[Image] = pipeline(**arguments).images
    except BaseException:
        # An interrupted call leaves offloaded parts on the device; put them where the next call expects them.
        getattr(pipeline, "maybe_free_model_hooks", lambda: None)()
        raise
    if "callback_on_step_end" not in accepted:
        on_step(first, steps, steps, None)
    return images


@contextmanager
def _encoding_once(pipeline: Any) -> Iterator[None]:
    """Let the pipeline remember its encoded prompts until the end.

    The pipeline still calls its own `encode_prompt` with its own arguments, whatever they are; a call with
    the same arguments is answered from memory.
    """
    encode = getattr(pipeline, "encode_prompt", None)
    if encode is None:
        yield
        return
    pipeline.encode_prompt = _Remembered(encode)
    try:
        yield
    finally:
        del pipeline.encode_prompt  # the method of the class shows again


class _Remembered:
    """A function that remembers what it answered."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._answers: dict[str, Any] = {}
        self.__signature__ = inspect.signature(function)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if any(isinstance(value, torch.Tensor) for value in (*arguments, *named.values())):
            return self._function(*arguments, **named)
        key = repr((arguments, sorted(named.items())))
        if key not in self._answers:
            self._answers[key] = self._function(*arguments, **named)
        return self._answers[key]


BLACK_WARNING: Final = "The image is entirely black: the model may have produced invalid numbers."


def _look_at(image: Image, request: ImageRequest) -> tuple[str, ...]:
    """Warnings about an image that is hardly what was wanted."""
    found = []
    if image.convert("L").getextrema() == (0, 0):
        found.append(BLACK_WARNING)
    wanted = request.settings.width, request.settings.height
    if image.size != wanted:
        found.append(
            f"The model makes {image.width}x{image.height} instead of {wanted[0]}x{wanted[1]}: "
            "limits.size_multiple of its catalog entry is too small."
        )
    return tuple(found)
