"""Pipelines in memory: who stays warm, who makes available, what stays behind."""

from __future__ import annotations

import pytest

from engine.contract import TooLarge
from engine.local.devices import Device
from engine.local.memory_plan import GIB
from engine.local.pipelines import Pipelines
from tests.runner_harness import RunnerHarness


class SmallDevice(Device):
    """The CPU with as little memory as a test wants; models loaded from now on use it up."""

    free = 16 * GIB

    def memory(self) -> tuple[int, int]:
        """What the test says is free."""
        return self.free, 16 * GIB


PIXELS = 32 * 32


def test_models_stay_warm_while_there_is_available_memory(harness: RunnerHarness) -> None:
    pipelines = Pipelines(harness.catalog, SmallDevice("cpu", "a small device"))
    first = pipelines.load("tiny-sd", PIXELS)
    pipelines.load("tiny-flux", PIXELS)
    assert pipelines.warm("tiny-sd", PIXELS) is first
    assert pipelines.models == ["tiny-flux", "tiny-sd"]


def test_the_least_recently_used_model_makes_available_memory(harness: RunnerHarness) -> None:
    device = SmallDevice("cpu", "a small device")
    pipelines = Pipelines(harness.catalog, device)
    for model in ("tiny-sd", "tiny-flux"):
        pipelines.load(model, PIXELS)
    pipelines.warm("tiny-sd", PIXELS)
    object.__setattr__(device, "free", 0)
    with pytest.raises(TooLarge, match=r"needs about 0\.\d GiB .* no smaller picture of this model would fit"):
        pipelines.load("tiny-sd3", PIXELS)
    assert pipelines.models == []
    object.__setattr__(device, "free", 16 * GIB)
    assert pipelines.load("tiny-sd3", PIXELS).plan.fits


def test_ten_switches_leave_memory_where_it_was(harness: RunnerHarness) -> None:
    pipelines = Pipelines(harness.catalog, Device("cpu", "CPU"))
    for _ in range(5):
        for model in ("tiny-sd", "tiny-flux"):
            pipelines.load(model, PIXELS)
            pipelines.unload(model)
    assert pipelines.models == []
    assert not pipelines.leaks()


def test_a_model_that_ran_out_of_memory_is_not_used_again_for_that_job(harness: RunnerHarness) -> None:
    pipelines = Pipelines(harness.catalog, Device("cpu", "CPU"))
    pipelines.load("tiny-sd", PIXELS)
    assert pipelines.warm("tiny-sd", PIXELS, fallback_level=1) is None
    assert pipelines.models == []
    lower = pipelines.load("tiny-sd", PIXELS, fallback_level=1)
    assert lower.plan.vae_tiling
    assert pipelines.warm("tiny-sd", PIXELS, fallback_level=1) is pipelines.warm("tiny-sd", PIXELS) is lower


def test_what_other_models_keep_is_no_leak(harness: RunnerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device("cpu", "CPU")
    pipelines = Pipelines(harness.catalog, device)
    stays = pipelines.load("tiny-flux", PIXELS)
    stays.kept_bytes = 3 * GIB
    used = device.used_by_us()
    monkeypatch.setattr(Device, "used_by_us", lambda _self: used + 3 * GIB)
    assert not pipelines.leaks()  # nothing has gone, so nothing is looked at
    pipelines.load("tiny-sd", PIXELS)
    pipelines.unload("tiny-sd")
    assert not pipelines.leaks()
    monkeypatch.setattr(Device, "used_by_us", lambda _self: used + 5 * GIB)
    assert not pipelines.leaks()
    pipelines._has_given_up = True
    assert pipelines.leaks()


def test_memory_that_stays_behind_is_noticed(harness: RunnerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device("cpu", "CPU")
    pipelines = Pipelines(harness.catalog, device)
    pipelines.load("tiny-sd", PIXELS)
    pipelines.unload("tiny-sd")
    used = device.used_by_us()
    monkeypatch.setattr(Device, "used_by_us", lambda _self: used + 2 * GIB)
    assert pipelines.leaks()
