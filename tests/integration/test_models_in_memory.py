"""Models in a real runner: switches between them, and that drawing never reaches out to anything."""

from __future__ import annotations

import statistics
from itertools import cycle, islice

import pytest

from engine.local.devices import Device
from engine.local.pipelines import Pipelines
from tests.runner_harness import RunnerHarness

MODELS = ("tiny-sd", "tiny-flux", "tiny-sd3")
#: What may stay behind: a switch that forgot a tiny model (about 1 MB each) would add up to more.
SLACK = 24 << 20


@pytest.mark.parametrize("switches", [15, pytest.param(100, marks=pytest.mark.long)])
def test_switches_leave_memory_where_it_was(
    harness: RunnerHarness, switches: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Load, draw with and give up one model after the other, in one process; the first rounds fill what is kept."""
    device = Device("cpu", "CPU")
    pipelines = Pipelines(harness.catalog, device)
    used = []
    for model in islice(cycle(MODELS), switches):
        loaded = pipelines.load(model, 32 * 32)
        loaded.pipeline(prompt="a castle", height=32, width=32, num_inference_steps=1)
        del loaded
        pipelines.unload(model)
        used.append(device.used_by_us())
    settled = used[2 * len(MODELS) :]
    third = len(settled) // 3
    before, after = statistics.median(settled[:third]), statistics.median(settled[-third:])
    with capsys.disabled():
        print(
            f"\n{switches} switches: {before / 1e6:.1f} MB resident at first, {after / 1e6:.1f} MB at last "
            f"({(after - before) / 1e6:+.1f} MB; highest {max(settled) / 1e6:.1f} MB)"
        )
    assert after - before < SLACK
    assert not pipelines.leaks()


def test_a_job_reaches_out_to_nothing(harness: RunnerHarness) -> None:
    """No name is resolved and nothing is connected to, whatever the operator's environment says."""
    connects = harness.folder / "connects"
    jobs = [harness.submit(model=model) for model in MODELS]
    runner = harness.runner(worker="tests.watched_worker")
    runner.environment |= {"TEST_CONNECTS": str(connects), "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_none"}
    with runner:
        for job in jobs:
            assert harness.wait_for(job).error is None
    assert not connects.exists(), connects.read_text(encoding="utf-8")
