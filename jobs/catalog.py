"""The model catalog, `models.toml`: which models there are, their defaults, limits and abilities."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from jobs.errors import CatalogError

FALLBACK_MODEL: Final = "demo"


class Defaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request gets that does not say; the API's own defaults unless the model needs others."""

    num_images: Annotated[int, Meta(ge=1, le=8)] = 1
    num_inference_steps: Annotated[int, Meta(ge=1)] = 30
    guidance_scale: Annotated[float, Meta(ge=0)] = 7.5
    height: Annotated[int, Meta(ge=8)] = 1024
    width: Annotated[int, Meta(ge=8)] = 1024
    max_sequence_length: Annotated[int, Meta(ge=1, le=512)] = 512


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model can make. Sides are in pixels and multiples of `size_multiple`."""

    min_side: Annotated[int, Meta(ge=8)] = 256
    max_side: Annotated[int, Meta(ge=8)] = 2048
    max_pixels: Annotated[int, Meta(ge=64)] = 4_194_304
    size_multiple: Annotated[int, Meta(ge=1)] = 16
    max_steps: Annotated[int, Meta(ge=1, le=1000)] = 150
    max_guidance_scale: Annotated[float, Meta(ge=0, le=100)] = 30.0
    max_sequence_length: Annotated[int, Meta(ge=1, le=512)] = 512


class Capabilities(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model does with a request beyond the prompt."""

    negative_prompt: bool = False
    #: Whether `callback_steps` has a meaning for it (the spec: SD 3.5 only).
    callback_steps: bool = False
    #: Whether guidance is done by a second pass with the negative prompt (`true_cfg_scale`), as Qwen-Image does it.
    true_cfg: bool = False


class ModelEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the catalog."""

    id: Annotated[str, Meta(min_length=1, description="Hub id, or a local folder relative to the catalog file")]
    description: Annotated[str, Meta(min_length=1)]
    revision: str | None = None
    local: bool = False
    defaults: Defaults = Defaults()
    limits: Limits = Limits()
    capabilities: Capabilities = Capabilities()


class _CatalogFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    default: str
    models: dict[str, ModelEntry]


class Catalog:
    """The models by key. `folder` is where the catalog file lies, `weights` where pulled models lie."""

    def __init__(self, models: dict[str, ModelEntry], default: str, folder: Path, weights: Path) -> None:
        self.models = models
        self.preferred = default
        self._folder = folder
        self._weights = weights

    @classmethod
    def load(cls, path: Path, weights: Path) -> Catalog:
        """Read and check the catalog; raises CatalogError with a sentence that names the fault."""
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise CatalogError(f"There is no model catalog at {path}; set CYBERIMAGE_CATALOG.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CatalogError(f"{path} is not valid TOML: {error}.") from error
        content = _convert(document, path)
        if content.default not in content.models:
            raise CatalogError(
                f"{path}: default is {content.default!r}; it must be one of {', '.join(content.models)}."
            )
        return cls(content.models, content.default, path.parent, weights)

    def key(self, name: str) -> str | None:
        """The key of a model named by its key or its hub id; None if there is none."""
        if name in self.models:
            return name
        return next((key for key, entry in self.models.items() if entry.id == name), None)

    def path(self, key: str) -> Path:
        """The folder that holds the weights of a model, present or not."""
        entry = self.models[key]
        return self._folder / entry.id if entry.local else self._weights / key

    def is_available(self, key: str) -> bool:
        """Whether the weights of a model are on this machine."""
        return (self.path(key) / "model_index.json").is_file()

    def available(self) -> Iterator[str]:
        """The keys of the models that can run here."""
        return (key for key in self.models if self.is_available(key))

    @property
    def default(self) -> str:
        """The preferred model where its weights are here, else the demo model."""
        if self.is_available(self.preferred) or FALLBACK_MODEL not in self.models:
            return self.preferred
        return FALLBACK_MODEL


def _convert(document: dict[str, Any], path: Path) -> _CatalogFile:
    try:
        return msgspec.convert(document, _CatalogFile)
    except msgspec.ValidationError as error:
        raise CatalogError(f"{path}: {error}.") from error
