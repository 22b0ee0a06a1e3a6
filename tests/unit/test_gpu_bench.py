"""The bench for GPUs, without one: that its model has the true shape, and that its code runs."""

from __future__ import annotations

import json

import pytest
import torch

from bench import gpu_flux


def test_the_model_has_as_many_numbers_as_flux_1_dev() -> None:
    """Made on the device that holds no numbers; the counts are those of the published weights."""
    pipeline = gpu_flux.make_pipeline(gpu_flux.FLUX_DEV, "meta", torch.bfloat16)
    counts = {
        name: sum(number.numel() for number in part.parameters())
        for name, part in pipeline.components.items()
        if isinstance(part, torch.nn.Module)
    }
    assert counts == {
        "transformer": 11_901_408_320,
        "text_encoder": 123_060_480,
        "text_encoder_2": 4_762_310_656,
        "vae": 83_819_683,
    }
    assert {number.dtype for number in pipeline.transformer.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("name", [name for name in gpu_flux.OPTIONS if name != "eager bf16"])
def test_every_option_draws(name: str) -> None:
    figures = gpu_flux.draw(name, gpu_flux.TINY, "cpu", rounds=1)
    assert 0 < figures["seconds"] <= figures["first"] * 10
    assert figures["plan"]["placement"] == "resident"
    assert figures["plan"]["fp8"] is ("fp8" in name)
    json.dumps(figures)


def test_it_runs_unattended_and_prints_a_row_by_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_flux.main(["--tiny", "--minutes", "20", "--rounds", "1", "--only", "eager bf16"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| eager bf16 |")]
    assert row.endswith(" | resident |"), row
    assert " | 1.00x | " in row


def test_what_there_is_no_time_for_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_flux.main(["--tiny", "--minutes", "0", "--only", "eager bf16"]) == 0
    assert "| eager bf16 | no time left |" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_flux.main([]) == gpu_flux.EX_UNAVAILABLE == 69
    assert "There is no CUDA device here" in capsys.readouterr().out
