"""The web UI's answers as structs."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct


class _Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Nothing(_Answer, frozen=True, kw_only=True):
    """Done."""


class DrawnAnswer(_Answer, frozen=True, kw_only=True):
    """The pictures of a call."""

    images: Annotated[list[str], Meta(description="PNG files in base64")]
    parameters: Annotated[dict[str, Any], Meta(description="The request, as it was sent")]
    info: Annotated[str, Meta(description="JSON: how they were drawn, with an infotext for each")]


class DrawnInfo(Struct, frozen=True, kw_only=True):
    """What `info` holds, as JSON in a text."""

    prompt: str
    all_prompts: list[str]
    negative_prompt: str
    all_negative_prompts: list[str]
    seed: int
    all_seeds: list[int]
    subseed: int = -1
    all_subseeds: list[int]
    subseed_strength: float = 0
    width: int
    height: int
    sampler_name: str
    cfg_scale: float
    steps: int
    batch_size: int
    restore_faces: bool = False
    face_restoration_model: str | None = None
    sd_model_name: str
    sd_model_hash: str | None = None
    sd_vae_name: str | None = None
    sd_vae_hash: str | None = None
    seed_resize_from_w: int = -1
    seed_resize_from_h: int = -1
    denoising_strength: float | None = None
    extra_generation_params: dict[str, Any]
    index_of_first_image: int = 0
    infotexts: list[str]
    styles: list[str] = []
    job_timestamp: str
    clip_skip: int = 1
    is_using_inpainting_conditioning: bool = False
    version: str


class ProgressState(_Answer, frozen=True, kw_only=True):
    """Where the current job is; all zero where there is none."""

    skipped: bool = False
    interrupted: bool = False
    stopping_generation: bool = False
    job: str = ""
    job_count: int = 0
    job_timestamp: str = "0"
    job_no: int = 0
    sampling_step: int = 0
    sampling_steps: int = 0


class ProgressOfCaller(_Answer, frozen=True, kw_only=True):
    """How far the caller's job is, the one that is drawn or else the next one."""

    progress: Annotated[float, Meta(description="0 to 1 over all its images")] = 0.0
    eta_relative: Annotated[float, Meta(description="Seconds to its end, 0 where that is not known")] = 0.0
    state: ProgressState = ProgressState()
    current_image: Annotated[str | None, Meta(description="A preview: a PNG in base64")] = None
    textinfo: Annotated[str | None, Meta(description="What is going on")] = None


class A1111Options(_Answer, frozen=True, kw_only=True):
    """What there is of the web UI's options."""

    sd_model_checkpoint: Annotated[str, Meta(description="The model of this caller's calls that name none")]
    samples_format: str = "png"


class A1111Model(_Answer, frozen=True, kw_only=True):
    """A model that can draw now."""

    title: str
    model_name: str
    hash: str | None = None
    sha256: str | None = None
    filename: Annotated[str, Meta(description="Hub id, or a folder")]
    config: str | None = None


class A1111Sampler(_Answer, frozen=True, kw_only=True):
    """A sampler by the web UI's name."""

    name: str
    aliases: list[str]
    options: dict[str, str] = {}


class A1111Scheduler(_Answer, frozen=True, kw_only=True):
    """How the noise falls, by the web UI's name."""

    name: str
    label: str
    aliases: list[str] | None = None
    default_rho: float = -1.0
    need_inner_model: bool = False


class A1111Name(_Answer, frozen=True, kw_only=True):
    """What else may be named; there is nothing here yet."""

    name: str


class PngInfoAnswer(_Answer, frozen=True, kw_only=True):
    """What is written in a picture."""

    info: Annotated[str, Meta(description="The line of parameters; empty if there is none")]
    items: Annotated[dict[str, str], Meta(description="All texts in it")]
    parameters: Annotated[dict[str, str], Meta(description="The values of the line, by their names")]


class Memory(_Answer, frozen=True, kw_only=True):
    """Bytes of this machine's memory."""

    free: int
    used: int
    total: int


class NoMemory(_Answer, frozen=True, kw_only=True):
    """Why it is not told."""

    error: str


class MemoryAnswer(_Answer, frozen=True, kw_only=True):
    """The memory of the machine that answers."""

    ram: Memory
    cuda: Annotated[NoMemory, Meta(description="The API does not look at devices; see /api/models for the plans")]
