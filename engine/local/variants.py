"""Other uses of a loaded pipeline: from a picture, of a part of one, with another noise schedule. Loads diffusers.

A variant is made of the very components of the loaded pipeline, so that it costs neither time to load nor memory, and
what its plan does to them (offload, quantisation, tiles) holds for it as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from jobs import schedulers

#: Where a pipeline keeps what its offloading needs to know between two calls.
_OFFLOADING: Final = ("_all_hooks", "_offload_device", "_offload_gpu_id")


def from_picture(pipeline: Any, *, keeps_part: bool) -> Any:
    """The pipeline that begins from a picture, or draws part of one anew; it shares all components.

    Raises ValueError where diffusers has none for this kind of pipeline.
    """
    takes = inspect.signature(pipeline.__call__).parameters
    if ("mask_image" if keeps_part else "strength") in takes:
        return pipeline
    from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting

    kind = AutoPipelineForInpainting if keeps_part else AutoPipelineForImage2Image
    variant = kind.from_pipe(pipeline)
    variant.set_progress_bar_config(disable=True)
    for name in _OFFLOADING:
        if hasattr(pipeline, name):
            setattr(variant, name, getattr(pipeline, name))
    return variant


@contextmanager
def scheduled(pipeline: Any, name: str | None) -> Iterator[None]:
    """Let a pipeline draw with the schedule of this name; it has its own again at the end.

    The schedule is made anew each time, since it remembers where it is; what was learned with the model (its betas, its
    shift) comes from the model's own. Raises ValueError for a name that this kind of schedule does not have.
    """
    if name is None:
        yield
        return
    own = pipeline.scheduler
    pipeline.scheduler = _made(own, name)
    try:
        yield
    finally:
        pipeline.scheduler = own


def _made(own: Any, name: str) -> Any:
    import diffusers

    wanted = schedulers.find(name, is_flow=schedulers.is_flow(type(own).__name__, own.config))
    kind = getattr(diffusers, wanted.kind)
    takes = inspect.signature(kind.__init__).parameters
    options = dict.fromkeys(schedulers.SIGMAS.values(), False) | wanted.options
    if "shift" in own.config:
        options.setdefault("flow_shift", own.config["shift"])
    return kind.from_config(own.config, **{option: value for option, value in options.items() if option in takes})
