"""A model folder as files: is it whole, how big is it, where does it come from. Reads headers only; no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

RECORD_NAME: Final = ".cyberimage.json"
#: Components that hold the denoiser, by the names that diffusers uses.
DENOISERS: Final = ("transformer", "unet", "transformer_2")
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
    parameters = {}
    for component in _components(folder):
        if (folder / component).is_dir():
            count = _parameters(folder / component)
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
        raise DamagedModel(f"{folder.name}/model_index.json cannot be read: {error}.") from error
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


def _parameters(folder: Path) -> int:
    """The numbers in the weights of a component; 0 for one without weights (a tokenizer, a scheduler)."""
    files = sorted(folder.glob("*.safetensors"))
    plain = [path for path in files if ".fp16." not in path.name] or files
    if not plain:
        _refuse_pickle(folder)
        return 0
    _require_all_parts(folder)
    return sum(_numbers_in(path) for path in plain)


def _refuse_pickle(folder: Path) -> None:
    pickles = [path.name for pattern in ("*.bin", "*.pt", "*.ckpt") for path in folder.glob(pattern)]
    if pickles:
        raise DamagedModel(
            f"{folder.parent.name}/{folder.name} has only {pickles[0]}, a pickle, which can run code and is refused; "
            "use a model with .safetensors files, or convert it."
        )


def _require_all_parts(folder: Path) -> None:
    """Raise if a part of weights that are split into several files is missing."""
    for index in folder.glob("*.safetensors.index.json"):
        if ".fp16." in index.name:
            continue
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError, OSError) as error:
            raise DamagedModel(f"{_shown(index)} cannot be read: {error}.") from error
        missing = sorted(name for name in names if not (folder / name).is_file())
        if missing:
            raise DamagedModel(f"{_shown(folder / missing[0])} is missing; pull the model again.")


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
