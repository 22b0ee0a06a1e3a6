"""OpenAI's answers as structs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from outputs.formats import Format


class _Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class InputTokens(_Answer, frozen=True, kw_only=True):
    """Of a request."""

    text_tokens: int = 0
    image_tokens: int = 0


class Usage(_Answer, frozen=True, kw_only=True):
    """What is charged: nothing here is counted in tokens, so there are none."""

    input_tokens: int = 0
    input_tokens_details: InputTokens = InputTokens()
    output_tokens: int = 0
    total_tokens: int = 0


class OpenAIImage(_Answer, frozen=True, kw_only=True):
    """One image: itself, or where it is, never both."""

    b64_json: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    revised_prompt: Annotated[None, Meta(description="Prompts are not revised")] = None
    seed: Annotated[int, Meta(description="Makes this image alone")]


class ImagesAnswer(_Answer, frozen=True, kw_only=True):
    """The images of a call, in order."""

    created: Annotated[int, Meta(description="Seconds since the epoch")]
    data: list[OpenAIImage]
    background: Literal["opaque"] = "opaque"
    output_format: Format
    quality: str
    size: str
    usage: Usage = Usage()


class ImageEvent(_Answer, frozen=True, kw_only=True):
    """An event of a stream: a preview, or a finished image."""

    type: str
    b64_json: str
    created_at: int
    background: Literal["opaque"] = "opaque"
    output_format: Format
    quality: str
    size: str
    partial_image_index: int | UnsetType = UNSET
    usage: Usage | UnsetType = UNSET


class OpenAIModel(_Answer, frozen=True, kw_only=True):
    """A model that can draw now."""

    id: Annotated[str, Meta(description="A key of the catalog")]
    object: Literal["model"] = "model"
    created: Annotated[int, Meta(description="Not known: 0")] = 0
    owned_by: Annotated[str, Meta(description="Whose hub repository it is, or `local`")]


class OpenAIModels(_Answer, frozen=True, kw_only=True):
    """All models that can draw now."""

    object: Literal["list"] = "list"
    data: list[OpenAIModel]
