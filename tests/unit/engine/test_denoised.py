"""The estimate of the finished latents: exact for every family of schedulers, whatever the denoiser says."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any, ClassVar

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.local.denoised import watched

TRAINED: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
NOISE, VELOCITY, DATA = "epsilon", "v_prediction", "sample"

#: Schedulers that noise by betas, with their options and what their denoisers may predict.
DIFFUSION: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("DDIMScheduler", {"clip_sample": False}, (NOISE, VELOCITY, DATA)),
    ("DDPMScheduler", {"clip_sample": False}, (NOISE, VELOCITY, DATA)),
    ("PNDMScheduler", {"skip_prk_steps": True}, (NOISE, VELOCITY)),
    ("PNDMScheduler", {"skip_prk_steps": False}, (NOISE,)),
    ("LCMScheduler", {}, (NOISE, VELOCITY, DATA)),
    ("TCDScheduler", {}, (NOISE, VELOCITY, DATA)),
    ("EulerDiscreteScheduler", {}, (NOISE, VELOCITY)),
    ("EulerAncestralDiscreteScheduler", {}, (NOISE, VELOCITY)),
    ("HeunDiscreteScheduler", {}, (NOISE, VELOCITY, DATA)),
    ("DPMSolverMultistepScheduler", {}, (NOISE, VELOCITY, DATA)),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, (NOISE,)),
    (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
        (NOISE, VELOCITY, DATA),
    ),
    ("DPMSolverSinglestepScheduler", {}, (NOISE, VELOCITY, DATA)),
    ("UniPCMultistepScheduler", {}, (NOISE, VELOCITY, DATA)),
    ("UniPCMultistepScheduler", {"predict_x0": False, "final_sigmas_type": "sigma_min"}, (NOISE, VELOCITY)),
    ("DEISMultistepScheduler", {}, (NOISE, VELOCITY, DATA)),
    ("SASolverScheduler", {}, (NOISE, VELOCITY)),
    ("SASolverScheduler", {"algorithm_type": "noise_prediction"}, (NOISE,)),
]
#: Those that move straight from noise to data.
FLOW: list[tuple[str, dict[str, Any]]] = [
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
    ("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}),
    ("FlowMatchHeunDiscreteScheduler", {"shift": 2.0}),
    ("FlowMatchLCMScheduler", {}),
    ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
    ("UniPCMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}),
    ("DEISMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
]


def predicted(seen: Tensor, mix: Tensor) -> Tensor:
    """What our denoiser takes the finished latents to be: no formula of any scheduler, and never the same twice."""
    return torch.tanh(torch.einsum("ij,bjhw->bihw", mix, seen)) + mix.mean()


def alpha_squared(timestep: float) -> float:
    """How much of the variance is the picture's; between two whole steps as the logarithm of the noise's share says."""
    betas = np.linspace(TRAINED["beta_start"] ** 0.5, TRAINED["beta_end"] ** 0.5, 1000) ** 2
    alphas = np.cumprod(1 - betas)
    ratio = np.interp(timestep, np.arange(1000), 0.5 * np.log((1 - alphas) / alphas))
    return float(1 / (1 + np.exp(2 * ratio)))


def as_output(data: Tensor, seen: Tensor, timestep: float, kind: str) -> Tensor:
    """The denoiser's output that means `data`, by the definition of each kind."""
    if kind == "flow":
        return (seen - data) * 1000 / timestep
    alpha, sigma = alpha_squared(timestep) ** 0.5, (1 - alpha_squared(timestep)) ** 0.5
    noise = (seen - alpha * data) / sigma
    meanings: dict[str, Tensor] = {NOISE: noise, VELOCITY: alpha * noise - sigma * data, DATA: data}
    return meanings[kind]


def largest_fault(scheduler: Any, kind: str, seed: int, steps: int) -> float:
    """Walk the schedule as a pipeline does; how far the estimate ever was from what the denoiser meant."""
    random = torch.Generator().manual_seed(seed)
    mix = torch.randn(4, 4, generator=random)
    scheduler.set_timesteps(steps)
    sample = torch.randn(1, 4, 6, 5, generator=random) * (1 if kind == "flow" else scheduler.init_noise_sigma)
    faults = []
    with watched(SimpleNamespace(scheduler=scheduler)) as watch:
        assert watch is not None
        assert watch.estimate() is None
        for number, timestep in enumerate(scheduler.timesteps):
            seen = scheduler.scale_model_input(sample, timestep) if kind != "flow" else sample
            data = predicted(seen, mix)
            # Multistep solvers round the times of flows, not the noise that they reckon with.
            is_rounded = kind == "flow" and hasattr(scheduler, "convert_model_output")
            time = scheduler.sigmas[number] * 1000 if is_rounded else timestep
            output = as_output(data, seen, float(time), kind)
            sample = scheduler.step(output, timestep, sample, return_dict=False)[0]
            found = watch.estimate()
            assert found is not None
            assert found.shape == sample.shape
            faults.append(float((found - data).abs().max()))
    assert "step" not in vars(scheduler)
    return max(faults)


@pytest.mark.filterwarnings("ignore:.*dpmsolver:FutureWarning")
@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [(name, options, kind) for name, options, kinds in DIFFUSION for kind in kinds],
)
@settings(max_examples=3)
@given(seed=st.integers(0, 10_000), steps=st.integers(4, 12))
def test_the_estimate_is_what_the_denoiser_meant(
    name: str, options: dict[str, Any], kind: str, seed: int, steps: int
) -> None:
    scheduler = getattr(diffusers, name)(**TRAINED, **options, prediction_type=kind)
    assert largest_fault(scheduler, kind, seed, steps) < 2e-3


@pytest.mark.parametrize(("name", "options"), FLOW)
@settings(max_examples=3)
@given(seed=st.integers(0, 10_000), steps=st.integers(4, 12))
def test_the_estimate_of_flow_matching_is_what_the_denoiser_meant(
    name: str, options: dict[str, Any], seed: int, steps: int
) -> None:
    scheduler = getattr(diffusers, name)(**options)
    assert largest_fault(scheduler, "flow", seed, steps) < 2e-3


def test_what_a_pipeline_gets_from_a_watched_scheduler_is_the_same() -> None:
    scheduler = diffusers.EulerDiscreteScheduler(**TRAINED)
    scheduler.set_timesteps(4)
    sample, timestep = torch.randn(1, 4, 6, 5), scheduler.timesteps[0]
    scheduler.scale_model_input(sample, timestep)
    with watched(SimpleNamespace(scheduler=scheduler)):
        assert "s_churn" in inspect.signature(scheduler.step).parameters
        pair = scheduler.step(sample, timestep, sample, return_dict=False)
        scheduler._step_index = 0
        named = scheduler.step(model_output=sample, timestep=timestep, sample=sample)
    scheduler._step_index = 0
    plain = scheduler.step(sample, timestep, sample, return_dict=False)
    assert isinstance(pair, tuple)
    assert len(pair) == len(plain)
    assert all(torch.equal(one, other) for one, other in zip(pair, plain, strict=True))
    assert torch.equal(named.prev_sample, plain[0])


def test_a_scheduler_that_nobody_knows_has_no_estimate() -> None:
    class Unknown:
        config: ClassVar[dict[str, Any]] = {}

        def step(self, model_output: Tensor, timestep: int, sample: Tensor) -> tuple[Tensor]:
            return (sample - model_output,)

    scheduler = Unknown()
    with watched(SimpleNamespace(scheduler=scheduler)) as watch:
        assert watch is not None
        assert scheduler.step(torch.ones(1), 1, torch.ones(1))[0].item() == 0
        assert watch.estimate() is None


@pytest.mark.parametrize("pipeline", [SimpleNamespace(), SimpleNamespace(scheduler=SimpleNamespace(step=lambda x: x))])
def test_a_pipeline_without_a_scheduler_to_watch_is_left_alone(pipeline: Any) -> None:
    with watched(pipeline) as watch:
        assert watch is None
