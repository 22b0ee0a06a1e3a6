"""The line of parameters is read by a reader that follows the documented rules of other tools."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.schema import EffectiveSettings
from outputs.a1111 import parameters, sampler
from tests.sidecars import sidecar

SETTINGS = EffectiveSettings(
    num_images=2, num_inference_steps=30, guidance_scale=7.5, height=8, width=16, max_sequence_length=77, seed=41
)
ABOUT = sidecar(
    "00000000-0000-7000-8000-000000000000",
    number=2,
    prompt="a castle, at night",
    negative_prompt="blurry",
    scheduler="DPMSolverMultistep",
    scheduler_options={"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": True},
    settings=SETTINGS,
    versions={"cyberimage": "0.1.0"},
)
PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def read(text: str) -> dict[str, str]:
    """The rules: the last line holds the pairs if there are at least three; a line that begins with `Negative prompt:`
    begins the negative prompt; values in quotes are JSON."""
    *lines, last = text.strip().split("\n")
    if len(PAIR.findall(last)) < 3:
        lines, last = [*lines, last], ""
    found: dict[str, list[str]] = {"Prompt": [], "Negative prompt": []}
    part = "Prompt"
    for line in lines:
        if line.strip().startswith("Negative prompt:"):
            part, line = "Negative prompt", line.strip()[len("Negative prompt:") :]
        found[part].append(line.strip())
    pairs = {name: json.loads(value) if value.startswith('"') else value for name, value in PAIR.findall(last)}
    return {name: "\n".join(value) for name, value in found.items()} | pairs


def test_the_line_has_the_names_that_other_tools_know() -> None:
    assert parameters(ABOUT) == (
        "a castle, at night\nNegative prompt: blurry\n"
        "Steps: 30, Sampler: DPM++ 2M Karras, Schedule type: Karras, CFG scale: 7.5, Seed: 42, Size: 16x8, "
        "Model: tiny, Model source: example/tiny, Version: CyberImage 0.1.0"
    )


lines = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]), min_size=1).map(str.strip)
texts = (
    st.lists(lines.filter(bool), min_size=1, max_size=4)
    .map("\n".join)
    .filter(lambda text: "Negative prompt:" not in text and len(text.splitlines()) == text.count("\n") + 1)
)


@given(prompt=texts, negative=st.none() | texts, source=texts, seed=st.integers(0, 2**63 - 1))
def test_what_is_written_is_read_again(prompt: str, negative: str | None, source: str, seed: int) -> None:
    about = msgspec.structs.replace(ABOUT, prompt=prompt, negative_prompt=negative, model_source=source, seed=seed)
    found = read(parameters(about))
    assert found["Prompt"] == prompt
    assert found["Negative prompt"] == (negative or "")
    assert (found["Steps"], found["CFG scale"], found["Seed"], found["Size"]) == ("30", "7.5", str(seed), "16x8")
    assert (found["Sampler"], found["Schedule type"], found["Model"]) == ("DPM++ 2M Karras", "Karras", "tiny")


@pytest.mark.parametrize(
    ("scheduler", "options", "names"),
    [
        ("DPMSolverMultistep", {}, ("DPM++ 2M", None)),
        ("DPMSolverMultistep", {"use_karras_sigmas": True}, ("DPM++ 2M Karras", "Karras")),
        ("DPMSolverMultistep", {"use_exponential_sigmas": True}, ("DPM++ 2M Exponential", "Exponential")),
        ("DPMSolverMultistep", {"use_beta_sigmas": True}, ("DPM++ 2M", "Beta")),
        ("DPMSolverMultistep", {"algorithm_type": "sde-dpmsolver++"}, ("DPM++ 2M SDE", None)),
        ("DPMSolverMultistep", {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}, ("DPM++ 3M SDE", None)),
        ("DPMSolverMultistep", {"algorithm_type": "dpmsolver"}, ("DPMSolverMultistep", None)),
        ("DPMSolverSinglestep", {"use_karras_sigmas": True}, ("DPM++ SDE Karras", "Karras")),
        ("EulerDiscrete", {}, ("Euler", None)),
        ("EulerAncestralDiscrete", {}, ("Euler a", None)),
        ("FlowMatchEulerDiscrete", {}, ("Euler", None)),
        ("KDPM2AncestralDiscrete", {"use_karras_sigmas": True}, ("DPM2 a Karras", "Karras")),
        ("PNDM", {}, ("PLMS", None)),
        ("UniPCMultistep", {}, ("UniPC", None)),
        ("SomethingNew", {"use_karras_sigmas": True}, ("SomethingNew", "Karras")),
        (None, {}, (None, None)),
    ],
)
def test_samplers_have_their_known_names(
    scheduler: str | None, options: dict[str, Any], names: tuple[str | None, str | None]
) -> None:
    assert sampler(scheduler, options) == names
