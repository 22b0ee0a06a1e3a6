"""What OpenAI's clients ask for, and what it is in our words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal

import falcon
from msgspec import Meta, Struct

from core.errors import InvalidRequest
from core.explain import EXPECTED
from core.strict_json import shown
from http_api.server.errors import ApiError
from http_api.translation import request_of
from jobs.catalog import Catalog
from jobs.requests import RequestValidator
from jobs.schema import MAX_IMAGES, GenerateRequest
from outputs.formats import Format

#: Names of OpenAI's own models, which many clients send whatever the server is.
OPENAI_NAMES: Final = ("gpt-image-*", "chatgpt-image-*", "dall-e-*")
#: Qualities by those of the catalog. `auto` and its absence are the model's own steps.
_QUALITIES: Final[dict[str, Literal["low", "medium", "high"]]] = {
    "low": "low",
    "medium": "medium",
    "standard": "medium",
    "high": "high",
    "hd": "high",
    "xhigh": "high",
    "max": "high",
}
#: What this door calls the fields of a request of ours.
_WORDS: Final = {
    "model_id": "model",
    "settings.num_images": "n",
    "settings.width x settings.height": "size",
    "settings.width": "size (its width)",
    "settings.height": "size (its height)",
    "settings.num_inference_steps": "num_inference_steps",
    "settings.guidance_scale": "guidance_scale",
    "settings.seed": "seed",
    "settings.strength x settings.num_inference_steps": "strength x num_inference_steps",
    "settings.strength": "strength",
}
_NONE: Final[Mapping[str, str]] = {}

Size = Annotated[
    str,
    Meta(
        pattern=r"^(auto|[0-9]{1,5}x[0-9]{1,5})$",
        description="WIDTHxHEIGHT in pixels; auto: the model's own size",
        extra={EXPECTED: "auto or WIDTHxHEIGHT, such as 1024x1024"},
    ),
]
Quality = Literal["auto", "low", "medium", "high", "standard", "hd", "xhigh", "max"]


class ImageRequest(Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/images/generations`; other fields are ignored."""

    prompt: Annotated[str, Meta(min_length=1, description="What the image shows")]
    model: Annotated[str, Meta(description="A key of /v1/models; absent: the default model")] | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_IMAGES, description="Images; all are one job")] | None = None
    size: Size | None = None
    quality: Annotated[Quality, Meta(description="Steps, as the model's entry in the catalog maps it")] | None = None
    response_format: (
        Annotated[Literal["b64_json", "url"], Meta(description="The images themselves, or where their PNGs are")] | None
    ) = None
    output_format: Annotated[Format, Meta(description="What b64_json holds")] | None = None
    output_compression: (
        Annotated[int, Meta(ge=0, le=100, description="Quality of jpeg and webp; 100 of webp is lossless")] | None
    ) = None
    background: Literal["auto", "opaque", "transparent"] | None = None
    stream: Annotated[bool, Meta(description="Answer with events")] | None = None
    partial_images: Annotated[int, Meta(ge=0, le=3, description="Previews per image, with stream")] | None = None
    negative_prompt: Annotated[str, Meta(description="What to avoid, where the model supports it")] | None = None
    num_inference_steps: Annotated[int, Meta(description="Instead of quality")] | None = None
    guidance_scale: float | None = None
    seed: Annotated[int, Meta(description="Image k uses seed + k - 1")] | None = None


class Translator:
    """Makes requests of ours. `maps_openai_names`: whether names of OpenAI's models mean the default model."""

    def __init__(self, validator: RequestValidator, *, maps_openai_names: bool) -> None:
        self._validator = validator
        self._maps_openai_names = maps_openai_names

    def request(
        self, asked: ImageRequest, pictures: Mapping[str, str] = _NONE, strength: float | None = None
    ) -> GenerateRequest:
        """The job that is asked for, which begins from `pictures` (their ids, by our fields) if there are any.

        Raises InvalidRequest, and ApiError 404 for a model that is not here.
        """
        _check_form(asked)
        model = self._model(asked.model)
        fields = {"model_id": model, "prompt": asked.prompt, "negative_prompt": asked.negative_prompt, **pictures}
        settings = {**self._settings(asked, model), "strength": strength}
        return request_of(self._validator, fields, settings, _WORDS)

    def _settings(self, asked: ImageRequest, model: str) -> dict[str, Any]:
        width, height = _sides(asked.size)
        return {
            "num_images": asked.n,
            "width": width,
            "height": height,
            "num_inference_steps": asked.num_inference_steps or self._steps(asked.quality, model),
            "guidance_scale": asked.guidance_scale,
            "seed": asked.seed,
        }

    def _steps(self, quality: Quality | None, model: str) -> int | None:
        named = _QUALITIES.get(quality or "auto")
        return None if named is None else self._validator.catalog.entry(model).steps_of(named)

    def _model(self, name: str | None) -> str:
        catalog = self._validator.catalog
        if not name:
            return catalog.default
        key = catalog.key(name)
        if key is None and self._maps_openai_names and is_openai_name(name):
            return catalog.default
        if key is None or not catalog.is_available(key):
            raise model_not_found(name, catalog)
        return key


def is_openai_name(name: str) -> bool:
    """Whether a model of OpenAI is, or may be, called so."""
    return any(fnmatchcase(name, pattern) for pattern in OPENAI_NAMES)


def model_not_found(name: str, catalog: Catalog) -> ApiError:
    """The error for a model that is not in the catalog, or whose weights are not here."""
    here = ", ".join(catalog.available()) or "none"
    message = f"model is {shown(name)}, which is not available here; available: {here}."
    return ApiError(falcon.HTTP_404, message, field="model", code="model_not_found")


def quality_of(asked: ImageRequest) -> str:
    """The quality as OpenAI's answers name it."""
    return _QUALITIES.get(asked.quality or "auto", "auto")


def _check_form(asked: ImageRequest) -> None:
    """Raise InvalidRequest for a form that no picture here has."""
    if asked.background == "transparent":
        raise InvalidRequest("background is transparent; no model here draws one: send auto or opaque.", "background")
    if asked.response_format == "url" and asked.output_format not in (None, "png"):
        raise InvalidRequest(
            f"output_format is {asked.output_format}; a url leads to the PNG: send png, or ask for b64_json.",
            "output_format",
        )
    if asked.response_format == "url" and asked.stream:
        raise InvalidRequest("response_format is url; events carry the images themselves: send b64_json.", "stream")


def _sides(size: str | None) -> tuple[int | None, int | None]:
    match = re.fullmatch(r"(\d+)x(\d+)", size or "auto", re.ASCII)
    return (int(match[1]), int(match[2])) if match else (None, None)
