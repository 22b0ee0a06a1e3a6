"""What a denoiser takes the finished latents to be (x0), read from the calls of a pipeline's scheduler.

The latents that a pipeline shows after a step are mostly noise until the last steps. But each call of the denoiser
predicts the finished latents as well, and a scheduler's `step` is given all that is needed to know them: the sample
`x`, the denoiser's output `m` for it, and where on the noise schedule that was. With `x = alpha * x0 + sigma * noise`:

- a scheduler that returns x0 beside its next sample (`pred_original_sample`, `denoised`) is taken at its word: DDIM,
  DDPM, Euler, Euler ancestral, Heun, KDPM2, LMS, LCM, the SDE and EDM solvers;
- a multistep solver (DPM-Solver, UniPC, DEIS, SA-Solver) keeps the converted output of its last call,
  `model_outputs[-1]`. That is x0 for those that integrate the data prediction (DPM-Solver++, UniPC, SA-Solver by
  default), else the noise: x0 = (x - sigma * noise) / alpha (Lu et al. 2022, arXiv:2211.01095, section 3);
- flow matching: x = (1 - sigma) * x0 + sigma * noise, and m is the velocity noise - x0, so x0 = x - sigma * m
  (Esser et al. 2024, arXiv:2403.03206, section 2). This is Euler's step, x' = x + (sigma' - sigma) * m, taken to
  sigma' = 0;
- PNDM and TCD go by a table of alpha squared: m is the noise, x0 itself, or v = alpha * noise - sigma * x0, for which
  x0 = alpha * x - sigma * m (Salimans and Ho 2022, arXiv:2202.00512, appendix D).

The difference of two consecutive latents would give the same for the solvers of first order. It is not used: where
steps are small it is nearly all rounding in 16 bits, and it says nothing where noise is added or a solver looks back.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

_FLOW_MATCHING: Final = frozenset(
    {"FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler"}
)
_TABLED: Final = frozenset({"PNDMScheduler", "TCDScheduler"})
#: What outputs of schedulers call x0.
_GIVEN: Final = ("pred_original_sample", "denoised")


@dataclass(frozen=True)
class _Call:
    """One call of a scheduler's `step`, and what is over once the next one comes."""

    output: Tensor
    timestep: Any
    sample: Tensor
    #: Where on the schedule the denoiser looked; None for schedulers that count no steps.
    index: int | None
    #: x0 in the scheduler's own words.
    given: Tensor | None


class Watch:
    """Remembers the last step of a scheduler. The estimate is computed only when it is asked for."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._last: _Call | None = None
        self._step = scheduler.step
        self.__signature__ = inspect.signature(self._step)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The scheduler's own step; asked for names, answered as the pipeline wants it."""
        bound = self.__signature__.bind(*arguments, **named)
        as_names = bound.arguments.get("return_dict", True)
        if "return_dict" in self.__signature__.parameters:
            bound.arguments["return_dict"] = True
        result = self._step(*bound.args, **bound.kwargs)
        index = getattr(self._scheduler, "step_index", None)
        self._last = _Call(
            output=bound.arguments["model_output"],
            timestep=bound.arguments["timestep"],
            sample=bound.arguments["sample"],
            index=None if index is None else index - 1,
            given=next((found for name in _GIVEN if (found := getattr(result, name, None)) is not None), None),
        )
        return result if as_names or not hasattr(result, "to_tuple") else result.to_tuple()

    def estimate(self) -> Tensor | None:
        """What the last call predicts the finished latents to be; None before any, or of an unknown scheduler.

        In the shape and the scale of the latents that the pipeline shows after its last step.
        """
        return None if self._last is None else _estimate(self._scheduler, self._last)


@contextmanager
def watched(pipeline: Any) -> Iterator[Watch | None]:
    """A watch on the scheduler of a pipeline, as long as the context lasts; None where it has none to watch."""
    scheduler: Any = getattr(pipeline, "scheduler", None)
    if not {"model_output", "timestep", "sample"} <= _parameters(getattr(scheduler, "step", None)):
        yield None
        return
    watch = Watch(scheduler)
    scheduler.step = watch
    try:
        yield watch
    finally:
        del scheduler.step  # the method of the class shows again


def _parameters(function: Any) -> set[str]:
    return set() if function is None else set(inspect.signature(function).parameters)


def _estimate(scheduler: Any, call: _Call) -> Tensor | None:
    names = {kind.__name__ for kind in type(scheduler).__mro__}
    if call.given is not None:
        return call.given
    if call.index is not None and hasattr(scheduler, "convert_model_output"):
        return _of_multistep(scheduler, call, call.index)
    if call.index is not None and names & _FLOW_MATCHING and not scheduler.config.get("invert_sigmas"):
        sigma: Tensor = scheduler.sigmas[call.index].to(call.sample)
        return call.sample - sigma * call.output
    return _by_table(scheduler, call) if names & _TABLED else None


def _of_multistep(scheduler: Any, call: _Call, index: int) -> Tensor | None:
    kept: Tensor | None = scheduler.model_outputs[-1]
    if kept is None or _keeps_data(scheduler.config):
        return kept
    alpha: Tensor
    sigma: Tensor
    alpha, sigma = (part.to(call.sample) for part in scheduler._sigma_to_alpha_sigma_t(scheduler.sigmas[index]))
    return (call.sample - sigma * kept) / alpha


def _keeps_data(config: Any) -> bool:
    """Whether a multistep solver of this configuration integrates the data prediction, not the noise."""
    if "predict_x0" in config:
        return bool(config["predict_x0"])
    kind: str = config.get("algorithm_type", "data_prediction")
    return kind.endswith("++") or kind == "data_prediction"


def _by_table(scheduler: Any, call: _Call) -> Tensor | None:
    alpha_squared: Tensor = scheduler.alphas_cumprod[int(call.timestep)].to(call.sample)
    alpha, sigma = alpha_squared.sqrt(), (1 - alpha_squared).sqrt()
    match scheduler.config.prediction_type:
        case "epsilon":
            return (call.sample - sigma * call.output) / alpha
        case "sample":
            return call.output
        case "v_prediction":
            return alpha * call.sample - sigma * call.output
    return None
