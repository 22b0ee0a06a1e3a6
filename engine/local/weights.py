"""A model folder as files: is it whole, how big is it, where does it come from. Reads headers only; no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from core.private_paths import without_paths

RECORD_NAME: Final = ".cyberimage.json"
#: Components that hold the denoiser, by the names that diffusers uses.
DENOISERS: Final = ("transformer", "unet", "transformer_2")
#: The names under which diffusers and transformers look for weights: whole, in parts, or the index of the parts.
_WEIGHTS: Final = re.compile(
    r"(?:diffusion_pytorch_model|model)"
    r"(?:(?:\.(?P<whole>\w+))?(?:-\d+-of-\d+)?\.safetensors|\.safetensors\.index(?:\.(?P<index>\w+))?\.json)"
)
#: Variants in the order of choice, where the plain weights are not there; others come after them.
_VARIANTS: Final = ("fp16", "bf16")
#: Larger headers than this are no headers.
_HEADER_LIMIT: Final = 100_000_000


class DamagedModel(Exception):
    """A model folder that cannot be used; the message is one sentence that says why and what to do."""


class PullRecord(Struct, frozen=True, kw_only=True):
    """What `python -m runner.models pull` notes in a model's folder."""

    id: str
    revision: str
    pulled_at: str
    #: Size in bytes and, for weights, SHA-256, by path in the folder.
    files: dict[str, tuple[int, str | None]]


@dataclass(frozen=True)
class ModelFiles:
    """What the weights of a model need: numbers (parameters) by component."""

    parameters: dict[str, int]
    revision: str | None

    def bytes_of(self, component: str, width: int, *, fp8: bool = False) -> int:
        """Memory of a component, its numbers `width` bytes wide; the denoiser's are one byte with `fp8`."""
        return self.parameters[component] * (1 if fp8 and component in DENOISERS else width)

    def total(self, width: int, *, fp8: bool = False) -> int:
        """Memory of all components together."""
        return sum(self.bytes_of(component, width, fp8=fp8) for component in self.parameters)

    def largest(self, width: int, *, fp8: bool = False) -> int:
        """Memory of the largest component."""
        return max((self.bytes_of(component, width, fp8=fp8) for component in self.parameters), default=0)


def inspect(folder: Path) -> ModelFiles:
    """Look at a model folder; raises DamagedModel."""
    components = _components(folder)
    variant = variant_of(folder)
    parameters = {}
    for component in components:
        count = _parameters(folder / component, variant)
        if count:
            parameters[component] = count
    if not parameters:
        raise DamagedModel(f"{folder.name} holds no weights; pull the model again.")
    return ModelFiles(parameters, _revision(folder))


def pull_record(folder: Path) -> PullRecord | None:
    """What a pull noted about a folder; None where the folder came from elsewhere."""
    try:
        return msgspec.json.decode((folder / RECORD_NAME).read_bytes(), type=PullRecord)
    except (OSError, msgspec.DecodeError):
        return None


def read_index(folder: Path) -> dict[str, Any]:
    """The `model_index.json` of a pipeline; raises DamagedModel."""
    path = folder / "model_index.json"
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DamagedModel(f"{folder.name} has no model_index.json: it is no diffusers pipeline.") from error
    except (ValueError, OSError) as error:
        raise DamagedModel(_unreadable(path, error)) from error
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise DamagedModel(f"{folder.name}/model_index.json names no pipeline class (_class_name).")
    return index


def components_of(index: dict[str, Any]) -> list[str]:
    """The components that a pipeline's index names, without those that are left out."""
    pairs = {name: value for name, value in index.items() if isinstance(value, list) and not name.startswith("_")}
    return [name for name, value in pairs.items() if len(value) == 2 and value[0] is not None]


def _components(folder: Path) -> list[str]:
    found = components_of(read_index(folder))
    missing = [name for name in found if not (folder / name).is_dir()]
    if missing:
        raise DamagedModel(f"{folder.name} lacks the folder {missing[0]}; pull the model again.")
    return found


def variant_of(folder: Path) -> str | None:
    """The variant (`fp16`, ...) in which a model folder must be loaded; None for plain weights. Raises DamagedModel."""
    return choose_variant(folder.name, {name: _names_in(folder / name) for name in _components(folder)})


def choose_variant(model: str, names: Mapping[str, Collection[str]]) -> str | None:
    """The variant to load, from the names of the files of each component; None where all have plain weights.

    diffusers takes one variant for a whole pipeline, and plain weights for a component that does not have it.
    Raises DamagedModel where no variant serves all components.
    """
    found = {component: _variants_in(files) for component, files in names.items()}
    lacking = {component: variants for component, variants in found.items() if variants and "" not in variants}
    if not lacking:
        return None
    common = [
        variant
        for variant in frozenset.intersection(*lacking.values())
        if all(variant in found[component] or not _claims(names[component], variant) for component in names)
    ]
    if not common:
        each = ", ".join(f"{component} as {' or '.join(sorted(variants))}" for component, variants in lacking.items())
        raise DamagedModel(
            f"{model} has weights only in variants that diffusers cannot load together ({each}); "
            "use a model with plain weights, or with one variant for all components."
        )
    return min(common, key=lambda variant: (variant not in _VARIANTS, variant != _VARIANTS[0], variant))


def weights_to_load(names: Collection[str], variant: str | None) -> list[str]:
    """Of the files of a component, the weights (and the index of their parts) that are loaded with this variant."""
    variants = _variants_in(names)
    chosen = variant if variant in variants else ""
    return [name for name in names if variants and _variant_in(name) == chosen]


def are_weights(name: str) -> bool:
    """Whether a file is weights, or an index of their parts, loaded or not."""
    return name.endswith(".safetensors") or _variant_in(name) is not None


def _variant_in(name: str) -> str | None:
    """The variant in the name of a file of weights, empty for plain ones; None for a file that is never loaded."""
    match = _WEIGHTS.fullmatch(name)
    return None if match is None else match["whole"] or match["index"] or ""


def _variants_in(names: Collection[str]) -> frozenset[str]:
    """The variants that a component has whole or with an index of their parts; empty stands for plain weights."""
    variants = {_variant_in(name) for name in names if "-of-" not in name}
    return frozenset(variant for variant in variants if variant is not None)


def _claims(names: Collection[str], variant: str) -> bool:
    """Whether diffusers looks for a variant in a folder: by the second part of any name, which it must have."""
    return any(name.partition(".")[1] == "" or name.split(".")[1].startswith(variant) for name in names)


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise DamagedModel(f"{folder.parent.name}/{folder.name} cannot be read: {error.strerror}.") from error


def _parameters(folder: Path, variant: str | None) -> int:
    """The numbers in the weights of a component; 0 for one without weights (a tokenizer, a scheduler)."""
    names = _names_in(folder)
    loaded = weights_to_load(names, variant)
    if not loaded:
        _refuse_other_weights(folder, names)
        return 0
    parts = _parts(folder, [name for name in loaded if name.endswith(".json")])
    return sum(_numbers_in(folder / name) for name in parts or loaded)


def _refuse_other_weights(folder: Path, names: list[str]) -> None:
    """Raise where a component has weights, but none that is loaded."""
    others = [name for name in names if name.endswith(".safetensors")]
    if others:
        raise DamagedModel(
            f"{_shown(folder / others[0])} is not loaded under that name; diffusers looks for "
            "diffusion_pytorch_model.safetensors or model.safetensors, or the index of their parts."
        )
    _refuse_pickle(folder)


def _refuse_pickle(folder: Path) -> None:
    pickles = [path.name for pattern in ("*.bin", "*.pt", "*.ckpt") for path in folder.glob(pattern)]
    if pickles:
        raise DamagedModel(
            f"{folder.parent.name}/{folder.name} has only {pickles[0]}, a pickle, which can run code and is refused; "
            "use a model with .safetensors files, or convert it."
        )


def _parts(folder: Path, indexes: list[str]) -> list[str]:
    """The files of weights that are split into several; raises DamagedModel if one is missing."""
    parts: set[str] = set()
    for name in indexes:
        try:
            parts |= {str(part) for part in json.loads((folder / name).read_bytes())["weight_map"].values()}
        except (ValueError, KeyError, AttributeError, TypeError, OSError) as error:
            raise DamagedModel(_unreadable(folder / name, error)) from error
    missing = sorted(name for name in parts if not (folder / name).is_file())
    if missing:
        raise DamagedModel(f"{_shown(folder / missing[0])} is missing; pull the model again.")
    return sorted(parts)


def _numbers_in(path: Path) -> int:
    """The numbers in a safetensors file, from its header; raises DamagedModel if the file is not whole."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(_HEADER_LIMIT, size):
                raise DamagedModel(f"{_shown(path)} is truncated or no safetensors file; pull the model again.")
            tensors = json.loads(stream.read(length))
        tensors.pop("__metadata__", None)
        needed = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise DamagedModel(f"{_shown(path)} cannot be read as safetensors; pull the model again.") from error
    if size < needed:
        raise DamagedModel(f"{_shown(path)} is truncated: {size} of {needed} bytes; pull the model again.")
    return sum(prod(tensor["shape"]) for tensor in tensors.values())


def _revision(folder: Path) -> str | None:
    record = pull_record(folder)
    return record.revision if record else None


def _shown(path: Path) -> str:
    """The end of a path, which is all that a person needs and all that an answer should tell."""
    return "/".join(path.parts[-3:])


def _unreadable(path: Path, error: Exception) -> str:
    return f"{_shown(path)} cannot be read: {without_paths(str(error), path.parent)}."
