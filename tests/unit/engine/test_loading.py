"""What is asked of diffusers for a GPU, checked without one: that every call exists and says what is meant."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.local import loading
from engine.local.devices import Device
from engine.local.memory_plan import GIB, AvailableMemory, Need, Placement, Plan, choose
from engine.local.weights import DamagedModel
from jobs.catalog import ModelEntry, Speed

GPU = Device("cuda:0", "a GPU that is not there")
ENTRY = ModelEntry(id="x", description="x")


def plan(placement: Placement = Placement.RESIDENT, *, fp8: bool = False) -> Plan:
    return Plan(placement=placement, vae_tiling=True, fp8=fp8, weight_bytes=1, device_bytes=2, host_bytes=0, fits=True)


class Recorder:
    """Stands in for a pipeline or a denoiser of `kind`; every call must bind to the real method's signature."""

    _repeated_blocks = ("FluxTransformerBlock",)

    def __init__(self, kind: type, **parts: Any) -> None:
        self.kind = kind
        self.calls: dict[str, dict[str, Any]] = {}
        self.__dict__.update(parts)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.kind, name)

        def record(*arguments: Any, **named: Any) -> None:
            bound = inspect.signature(method).bind(self, *arguments, **named)
            self.calls[name] = {key: value for key, value in bound.arguments.items() if key != "self"}

        return record


def flux() -> tuple[Recorder, Recorder, Recorder]:
    from diffusers import AutoencoderKL, FluxPipeline, FluxTransformer2DModel

    transformer, vae = Recorder(FluxTransformer2DModel), Recorder(AutoencoderKL)
    return Recorder(FluxPipeline, transformer=transformer, vae=vae), transformer, vae


@pytest.mark.parametrize(
    ("placement", "call", "arguments"),
    [
        (Placement.MODEL_OFFLOAD, "enable_model_cpu_offload", {"device": "cuda:0"}),
        (
            Placement.GROUP_OFFLOAD,
            "enable_group_offload",
            {"onload_device": torch.device("cuda:0"), "offload_type": "leaf_level", "use_stream": True},
        ),
        (Placement.SEQUENTIAL_OFFLOAD, "enable_sequential_cpu_offload", {"device": "cuda:0"}),
    ],
)
def test_weights_are_moved_as_the_plan_says(placement: Placement, call: str, arguments: dict[str, Any]) -> None:
    pipeline, _, vae = flux()
    loading.prepare(pipeline, ENTRY, plan(placement), GPU)
    assert pipeline.calls == {call: arguments}
    assert "enable_tiling" in vae.calls


def test_every_speed_option_is_one_call_of_diffusers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "can_compile", lambda: True)
    speed = Speed(compile=True, attention="_native_cudnn", first_block_cache=0.08, batch_size=4)
    pipeline, transformer, vae = flux()
    done = loading.prepare(pipeline, ModelEntry(id="x", description="x", speed=speed), plan(), GPU)
    assert done == {
        "attention": "_native_cudnn",
        "first_block_cache": 0.08,
        "compile": "repeated blocks",
        "batch_size": 4,
    }
    assert transformer.calls["set_attention_backend"] == {"backend": "_native_cudnn"}
    assert transformer.calls["enable_cache"]["config"].threshold == 0.08
    assert "compile_repeated_blocks" in transformer.calls
    assert "enable_slicing" in vae.calls


def test_fp8_keeps_the_weights_in_8_bits_and_is_not_compiled() -> None:
    pipeline, transformer, _ = flux()
    entry = ModelEntry(id="x", description="x", quantisation="fp8", speed=Speed(compile=True))
    assert loading.prepare(pipeline, entry, plan(fp8=True), GPU) == {}
    assert transformer.calls["enable_layerwise_casting"] == {
        "storage_dtype": torch.float8_e4m3fn,
        "compute_dtype": torch.bfloat16,
    }
    assert pipeline.calls["to"] == {"args": ("cuda:0",)}


@pytest.mark.parametrize(
    ("device", "fp8", "place"),
    [("cuda:0", False, "cuda"), ("cuda:0", True, None), ("cuda:1", False, None), ("cpu", False, None)],
)
def test_files_are_read_straight_to_the_gpu_where_diffusers_can(
    device: str, fp8: bool, place: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """diffusers refuses "cuda:0" as a device map: it takes only the kind of device."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert loading._straight_to(plan(fp8=fp8), Device(device, "")) == place


def test_a_pipeline_read_straight_to_its_device_draws(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code path as "cuda", with the one device that is here."""
    monkeypatch.setattr(loading, "_straight_to", lambda *_: "cpu")
    need = Need(weights=1, largest=1, weights_fp8=1, largest_fp8=1, pixels=1, width=4)
    a_plan = choose(need, AvailableMemory(is_gpu=False, device_free=GIB, host_free=GIB), "auto", "none")
    for model in ("tiny-flux", "tiny-sd3", "tiny-sd"):
        pipeline, _ = loading.load(tiny_weights / model, ENTRY, a_plan, Device("cpu", "CPU"))
        assert pipeline(prompt="a castle", height=32, width=32, num_inference_steps=1).images[0].size == (32, 32)


def test_a_cache_that_a_denoiser_does_not_have_is_named(tiny_weights: Path) -> None:
    entry = ModelEntry(id="x", description="x", speed=Speed(first_block_cache=0.1))
    with pytest.raises(DamagedModel, match="first_block_cache does not work with UNet2DConditionModel"):
        loading.load(tiny_weights / "tiny-sd", entry, plan(), Device("cpu", "CPU"))


def test_what_torch_keeps_for_later_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _name: (2 * GIB, 24 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _name: 20 * GIB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _name: 14 * GIB)
    assert GPU.memory() == (8 * GIB, 24 * GIB)
