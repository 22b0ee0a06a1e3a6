"""The line of parameters that Stable Diffusion tools write into pictures and read from them.

Its form is that of AUTOMATIC1111's web UI, which the others follow: the prompt, perhaps a line with the negative
prompt, and a last line of `Name: value` between commas, with values in JSON quotes where they hold a comma, colon or
line break.
Samplers have its names, so that a reader can choose the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import inspect as types

from jobs.schema import EffectiveSettings
from outputs.sidecar import Sidecar

#: The schedules of diffusers by the names of those tools. DPMSolverMultistep has several, see `_multistep`.
_SAMPLERS: Final = {
    "DDIM": "DDIM",
    "DPMSolverSinglestep": "DPM++ SDE",
    "DPMSolverSDE": "DPM++ SDE",
    "EulerAncestralDiscrete": "Euler a",
    "EulerDiscrete": "Euler",
    "FlowMatchEulerDiscrete": "Euler",
    "FlowMatchHeunDiscrete": "Heun",
    "FlowMatchLCM": "LCM",
    "HeunDiscrete": "Heun",
    "KDPM2AncestralDiscrete": "DPM2 a",
    "KDPM2Discrete": "DPM2",
    "LCM": "LCM",
    "LMSDiscrete": "LMS",
    "PNDM": "PLMS",
    "UniPCMultistep": "UniPC",
}
#: How the noise falls, by the option that says so; older versions write these two behind the sampler's name as well.
_SCHEDULES: Final = {"use_karras_sigmas": "Karras", "use_exponential_sigmas": "Exponential", "use_beta_sigmas": "Beta"}
_IN_THE_NAME: Final = ("Karras", "Exponential")
_MULTISTEP_NAMES: Final = ("DPM++ 2M", "DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ 3M SDE")
#: The names that those tools know, without a schedule in them, and those of the schedules.
SAMPLER_NAMES: Final = tuple(sorted({*_SAMPLERS.values(), *_MULTISTEP_NAMES}))
SCHEDULE_NAMES: Final = tuple(_SCHEDULES.values())


def parameters(about: Sidecar) -> str:
    """Prompt and settings of a picture, in that form."""
    lines = [about.prompt]
    if about.negative_prompt:
        lines.append(f"Negative prompt: {about.negative_prompt}")
    facts = _facts(about)
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in facts.items() if value is not None))
    return "\n".join(lines)


def sampler(scheduler: str | None, options: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The names of a diffusers schedule (without "Scheduler") and of how its noise falls; as they are if unknown."""
    if scheduler is None:
        return None, None
    name = _multistep(options) if scheduler == "DPMSolverMultistep" else _SAMPLERS.get(scheduler)
    schedule = next((label for option, label in _SCHEDULES.items() if options.get(option)), None)
    if name is None:
        return scheduler, schedule
    return f"{name} {schedule}" if schedule in _IN_THE_NAME else name, schedule


def _multistep(options: Mapping[str, Any]) -> str | None:
    match options.get("algorithm_type", "dpmsolver++"), options.get("solver_order", 2):
        case "dpmsolver++", 2:
            return "DPM++ 2M"
        case "sde-dpmsolver++", 2:
            return "DPM++ 2M SDE Heun" if options.get("solver_type") == "heun" else "DPM++ 2M SDE"
        case "sde-dpmsolver++", 3:
            return "DPM++ 3M SDE"
        case _:
            return None


def _facts(about: Sidecar) -> dict[str, Any]:
    settings = about.settings
    name, schedule = sampler(about.scheduler, about.scheduler_options)
    return {
        "Steps": settings.num_inference_steps,
        "Sampler": name,
        "Schedule type": schedule,
        "CFG scale": settings.guidance_scale,
        "Seed": about.seed,
        "Size": f"{about.width}x{about.height}",
        "Model": about.model_id,
        **_other_settings(settings),
        "Model source": about.model_source,
        "Version": f"CyberImage {about.versions.get('cyberimage', '')}".strip(),
    }


def _other_settings(settings: EffectiveSettings) -> dict[str, Any]:
    """Settings with a title, which is the word that other tools have for them, unless they change nothing."""
    found = {}
    for field in getattr(types.type_info(EffectiveSettings), "fields", ()):
        about = field.type.extra_json_schema if isinstance(field.type, types.Metadata) else None
        value = getattr(settings, field.name)
        if about and "title" in about and value != field.default:
            found[str(about["title"])] = value
    return found


def _quoted(value: Any) -> str:
    """A value; in quotes where a comma, colon or line break would end it."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r'^"|[,:\n]', text) else text


#: `Name: value` between commas; a value in quotes may hold anything.
_PAIR: Final = re.compile(r'\s*([\w ()/+-]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def parse(line: str) -> dict[str, str]:
    """The values in a line of parameters, of this or another tool, by their names; `Prompt` and `Negative prompt` too.

    What is no such line is all prompt.
    """
    *texts, last = line.strip().split("\n")
    pairs = {name.strip(): _unquoted(value.strip()) for name, value in _PAIR.findall(last)}
    if "Steps" not in pairs:
        texts, pairs = [*texts, last], {}
    negative = next((number for number, text in enumerate(texts) if text.startswith("Negative prompt:")), len(texts))
    found = {"Prompt": "\n".join(texts[:negative]).strip()}
    if negative < len(texts):
        found["Negative prompt"] = "\n".join(texts[negative:]).removeprefix("Negative prompt:").strip()
    return found | pairs


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
