"""What clients of the web UI's API ask for, and what it is in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import falcon
from msgspec import Meta, Struct

from core.errors import InvalidRequest
from core.strict_json import shown
from http_api.server.errors import ApiError
from http_api.translation import request_of
from jobs.catalog import Catalog
from jobs.requests import RequestValidator
from jobs.schedulers import FROM_WORDS_ONLY
from jobs.schema import MAX_IMAGES, GenerateRequest
from outputs.a1111 import SAMPLER_NAMES, SCHEDULE_NAMES

#: What this door calls the fields of a request of ours.
_WORDS: Final = {
    "model_id": "sd_model_checkpoint",
    "settings.width x settings.height": "width x height",
    "settings.width": "width",
    "settings.height": "height",
    "settings.num_inference_steps": "steps",
    "settings.guidance_scale": "cfg_scale",
    "settings.seed": "seed",
    "settings.strength x settings.num_inference_steps": "denoising_strength x steps",
    "settings.strength": "denoising_strength",
    "image": "init_images",
}
_NONE: Final[Mapping[str, str]] = {}

Count = Annotated[int, Meta(ge=1, le=MAX_IMAGES)]


class DrawRequest(Struct, frozen=True, kw_only=True):
    """The body of `POST /sdapi/v1/txt2img`; other fields are ignored, and null is the same as absence."""

    prompt: Annotated[str, Meta(description="What the image shows")] | None = None
    negative_prompt: Annotated[str, Meta(description="What to avoid, where the model supports it")] | None = None
    seed: Annotated[int, Meta(description="Image k uses seed + k - 1; -1: drawn at random")] | None = None
    steps: Annotated[int, Meta(description="Absent: the model's own")] | None = None
    cfg_scale: Annotated[float, Meta(description="Absent: the model's own")] | None = None
    width: Annotated[int, Meta(description="Absent: the model's own")] | None = None
    height: Annotated[int, Meta(description="Absent: the model's own")] | None = None
    sampler_name: (
        Annotated[str, Meta(description="One of /sdapi/v1/samplers; the model's own where it has no such")] | None
    ) = None
    sampler_index: Annotated[str, Meta(description="The older name of sampler_name")] | None = None
    scheduler: Annotated[str, Meta(description="One of /sdapi/v1/schedulers")] | None = None
    batch_size: Annotated[Count, Meta(description="With n_iter: the number of images")] | None = None
    n_iter: Count | None = None
    override_settings: Annotated[dict[str, Any], Meta(description="sd_model_checkpoint: the model")] | None = None
    send_images: Annotated[bool, Meta(description="false: only the gallery gets them")] | None = None

    @property
    def images(self) -> int:
        """How many are asked for."""
        return (self.batch_size or 1) * (self.n_iter or 1)


class PictureRequest(DrawRequest, frozen=True, kw_only=True):
    """The body of `POST /sdapi/v1/img2img`; other fields are ignored, and null is the same as absence."""

    init_images: Annotated[list[str], Meta(description="The one picture to begin from, in base64, perhaps as data URL")]
    mask: Annotated[str, Meta(description="As large as the picture, white where to draw anew")] | None = None
    inpainting_mask_invert: Annotated[int, Meta(description="1: black where to draw anew")] | None = None
    denoising_strength: Annotated[float, Meta(description="0 to 1: how far to go from the picture")] | None = None


class Translator:
    """Makes requests of ours."""

    def __init__(self, validator: RequestValidator) -> None:
        self._validator = validator

    def request(
        self, asked: DrawRequest, chosen: str | None, pictures: Mapping[str, str] = _NONE, strength: float | None = None
    ) -> GenerateRequest:
        """The job that is asked for by a caller who has `chosen` a model before.

        It begins from `pictures` (their ids, by our fields) if there are any. Raises InvalidRequest, and ApiError 404
        for a sampler that nobody knows.
        """
        sampler = asked.sampler_name or asked.sampler_index or ""
        _check_sampler(sampler)
        if asked.images > MAX_IMAGES:
            raise InvalidRequest(
                f"batch_size x n_iter is {asked.images}; it must be at most {MAX_IMAGES}.", "batch_size"
            )
        model = self._model(asked, chosen)
        fields = {
            "model_id": model,
            "prompt": asked.prompt or "",
            "negative_prompt": asked.negative_prompt,
            **pictures,
        }
        settings = {
            "num_images": asked.images,
            "width": asked.width,
            "height": asked.height,
            "num_inference_steps": asked.steps,
            "guidance_scale": asked.cfg_scale,
            "seed": asked.seed,
            "scheduler": self._schedule(sampler, asked.scheduler or "", model, is_from_picture=bool(pictures)),
            "strength": strength,
        }
        return request_of(self._validator, fields, settings, _WORDS)

    def _schedule(self, sampler: str, schedule: str, model: str, *, is_from_picture: bool) -> str | None:
        """Our name for a sampler and how its noise falls, where the model can be drawn so; None for its own."""
        known = self._validator.catalog.abilities(model).schedulers
        wanted = (f"{sampler} {schedule}".lower(), sampler.lower())
        found = next((name for name in wanted if name in known), None)
        return None if is_from_picture and found in FROM_WORDS_ONLY else found

    def _model(self, asked: DrawRequest, chosen: str | None) -> str:
        name = (asked.override_settings or {}).get("sd_model_checkpoint")
        if name:
            return model_of(self._validator.catalog, name)
        return chosen_model(self._validator.catalog, chosen)


def chosen_model(catalog: Catalog, chosen: str | None) -> str:
    """The model that a caller has chosen, if it can draw now, else the default one."""
    return next((key for key in catalog.available() if key == chosen), catalog.default)


def model_of(catalog: Catalog, name: Any) -> str:
    """The key of the model that a client calls so, perhaps with a hash behind it; raises InvalidRequest."""
    key = catalog.key(name.partition(" [")[0]) if isinstance(name, str) else None
    if key is None or not catalog.is_available(key):
        here = ", ".join(catalog.available()) or "none"
        raise InvalidRequest(f"sd_model_checkpoint is {shown(name)}; it must be one of {here}.", "sd_model_checkpoint")
    return key


def _check_sampler(name: str | None) -> None:
    """Raise ApiError 404 for a name that no tool knows; older ones have the schedule behind it, `DPM++ 2M Karras`."""
    known = {sampler.lower() for sampler in SAMPLER_NAMES}
    plain = (name or "").lower()
    for schedule in SCHEDULE_NAMES:
        plain = plain.removesuffix(f" {schedule.lower()}")
    if plain and plain not in known:
        raise ApiError(falcon.HTTP_404, f"sampler_name is {shown(name)}; it must be one of {', '.join(SAMPLER_NAMES)}.")
