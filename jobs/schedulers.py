"""Noise schedules by the names that people know, and what each is in diffusers; loads nothing.

`tests/unit/engine/test_schedulers.py` draws with every name of every family, and shows that no other one works there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

#: How the noise falls: the option of diffusers by the word behind a schedule's name.
SIGMAS: Final = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas"}


class Schedule(NamedTuple):
    """A schedule: its class in diffusers, and the options that make it what its name says."""

    kind: str
    options: dict[str, Any]


_MULTISTEP: Final = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_DIFFUSION: Final = {
    "ddim": Schedule("DDIMScheduler", {}),
    "dpm++ 2m": Schedule("DPMSolverMultistepScheduler", _MULTISTEP),
    "dpm++ 2m sde": Schedule("DPMSolverMultistepScheduler", _MULTISTEP | {"algorithm_type": "sde-dpmsolver++"}),
    "euler": Schedule("EulerDiscreteScheduler", {}),
    "euler a": Schedule("EulerAncestralDiscreteScheduler", {}),
    "heun": Schedule("HeunDiscreteScheduler", {}),
    "unipc": Schedule("UniPCMultistepScheduler", {}),
}
_AS_FLOW: Final = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
_FLOW: Final = {
    "dpm++ 2m": Schedule("DPMSolverMultistepScheduler", _MULTISTEP | _AS_FLOW),
    "euler": Schedule("FlowMatchEulerDiscreteScheduler", {}),
    "heun": Schedule("FlowMatchHeunDiscreteScheduler", {}),
    "unipc": Schedule("UniPCMultistepScheduler", _AS_FLOW),
}
#: Those of models of flow that diffusers has no way to begin from a picture with.
FROM_WORDS_ONLY: Final = ("dpm++ 2m", "unipc")


def _with_sigmas(*names: str) -> tuple[str, ...]:
    return tuple(f"{name} {word}" for name in names for word in SIGMAS)


#: The names for models that learned to remove noise.
DIFFUSION: Final = (*_DIFFUSION, *_with_sigmas("dpm++ 2m", "dpm++ 2m sde", "euler", "heun", "unipc"))
#: For models of flow: FLUX, Qwen-Image and those built like it, SD 3 and 3.5.
FLUX: Final = ("euler", *_with_sigmas("euler"), "dpm++ 2m", "unipc")
QWEN_IMAGE: Final = ("euler", *_with_sigmas("euler"), "unipc")
STABLE_DIFFUSION_3: Final = ("euler", *_with_sigmas("euler"), "heun", "dpm++ 2m", "unipc")
#: For models that always need a picture.
FLUX_FILL: Final = ("euler", *_with_sigmas("euler"))


def is_flow(kind: str, config: Mapping[str, Any]) -> bool:
    """Whether a model's own schedule, by its class and options, is one of flow."""
    return kind.startswith("FlowMatch") or bool(config.get("use_flow_sigmas"))


def find(name: str, *, is_flow: bool) -> Schedule:
    """What a name stands for; raises ValueError for one that is unknown."""
    table = _FLOW if is_flow else _DIFFUSION
    plain, _, last = name.rpartition(" ")
    if last in SIGMAS and plain in table:
        found = table[plain]
        return found._replace(options=found.options | {SIGMAS[last]: True})
    if name not in table:
        raise ValueError(f"there is no schedule {name!r} for this model")
    return table[name]
