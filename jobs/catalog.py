"""The model catalog, `models.toml`: which models there are, their defaults, limits and abilities."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from jobs.errors import CatalogError

FALLBACK_MODEL: Final = "demo"
#: What `Catalog.absence` says of a model that a pull would bring.
NOT_PULLED: Final = "whose weights are not on this machine"


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
    #: The shorter side up to which the model itself draws; a larger picture is drawn smaller and enlarged. None: all.
    drawn_side: Annotated[int, Meta(ge=8)] | None = None
    max_pixels: Annotated[int, Meta(ge=64)] = 4_194_304
    size_multiple: Annotated[int, Meta(ge=1)] = 16
    max_steps: Annotated[int, Meta(ge=1, le=1000)] = 150
    max_guidance_scale: Annotated[float, Meta(ge=0, le=100)] = 30.0
    max_sequence_length: Annotated[int, Meta(ge=1, le=512)] = 512

    def drawn(self, height: int, width: int) -> tuple[int, int]:
        """The height and width at which the model draws a picture that shall have these, in about the same shape."""
        shorter = min(height, width)
        if self.drawn_side is None or shorter <= self.drawn_side:
            return height, width
        return self._scaled(height, self.drawn_side / shorter), self._scaled(width, self.drawn_side / shorter)

    def _scaled(self, side: int, scale: float) -> int:
        return max(self.min_side, round(side * scale / self.size_multiple) * self.size_multiple)


class Capabilities(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model does with a request beyond the prompt."""

    negative_prompt: bool = False
    #: Whether `callback_steps` has a meaning for it (the spec: SD 3.5 only).
    callback_steps: bool = False
    #: Whether guidance is done by a second pass with the negative prompt (`true_cfg_scale`), as Qwen-Image does it.
    true_cfg: bool = False


class Speed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What diffusers and torch offer to be faster. The defaults change nothing of the picture."""

    #: Compile the repeated blocks of the denoiser (CUDA with a C compiler only); the first picture takes longer.
    compile: bool = False
    #: A diffusers attention backend, as `_native_cudnn` or `flash`; None: torch's own choice.
    attention: str | None = None
    #: Skip blocks whose input hardly changed since the last step: faster, but the picture differs. 0.05 is
    #: mild, 0.12 is visible; None: off.
    first_block_cache: Annotated[float, Meta(gt=0, le=1)] | None = None
    #: Images of one job that are drawn at once.
    batch_size: Annotated[int, Meta(ge=1, le=8)] = 1


class ModelEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the catalog."""

    id: Annotated[str, Meta(min_length=1, description="Hub id, or a local folder relative to the catalog file")]
    description: Annotated[str, Meta(min_length=1)]
    #: A commit of the hub repository; None: whatever is newest when it is pulled.
    revision: str | None = None
    local: bool = False
    #: None: bfloat16 on a GPU, float32 on a CPU.
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    #: `fp8` keeps the denoiser's weights in 8 bits: half the memory. `auto`: only where it would not fit otherwise.
    quantisation: Literal["none", "fp8", "auto"] = "none"
    #: How the model is made to fit; `auto` decides by its size and the memory that is free.
    memory: Literal["auto", "resident", "model_offload", "group_offload", "sequential_offload"] = "auto"
    speed: Speed = Speed()
    defaults: Defaults = Defaults()
    limits: Limits = Limits()
    capabilities: Capabilities = Capabilities()

    def shares_weights_with(self, other: ModelEntry) -> bool:
        """Whether one pull is enough for both."""
        return not self.local and not other.local and (self.id, self.revision) == (other.id, other.revision)


class _CatalogFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    default: str
    models: dict[str, ModelEntry]


class Catalog:
    """The models by key. `folder` is where the catalog file lies, `weights` where pulled models lie.

    `elsewhere` answers the models whose weights another program sees, one that would run them.
    """

    def __init__(
        self,
        models: dict[str, ModelEntry],
        default: str,
        folder: Path,
        weights: Path,
        elsewhere: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.models = models
        self.preferred = default
        self._folder = folder
        self._weights = weights
        self._elsewhere = elsewhere

    @classmethod
    def load(cls, path: Path, weights: Path, elsewhere: Callable[[], Collection[str]] = tuple) -> Catalog:
        """Read and check the catalog; raises CatalogError with a sentence that names the fault."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise CatalogError(f"There is no model catalog at {path}; set CYBERIMAGE_CATALOG.") from error
        except (UnicodeDecodeError, OSError) as error:
            raise CatalogError(f"{path} cannot be read: {error}.") from error
        content = _convert(text, path)
        if content.default not in content.models:
            raise CatalogError(
                f"{path}: default is {content.default!r}; it must be one of {', '.join(content.models)}."
            )
        return cls(content.models, content.default, path.parent, weights, elsewhere)

    def key(self, name: str) -> str | None:
        """The key of a model named by its key or its hub id; None if there is none."""
        if name in self.models:
            return name
        return next((key for key, entry in self.models.items() if entry.id == name), None)

    def path(self, key: str) -> Path:
        """The folder that holds the weights of a model, present or not.

        Entries of the same hub repository and revision, as FLUX.1-dev and its FP8 form, share what is pulled.
        """
        entry = self.models[key]
        if entry.local:
            return self._folder / entry.id
        twins = (other for other, it in self.models.items() if it.shares_weights_with(entry))
        folders = (self._weights / other for other in (key, *twins))
        return next((folder for folder in folders if _is_there(folder)), self._weights / key)

    def is_available(self, key: str) -> bool:
        """Whether the weights of a model are here, or seen elsewhere."""
        return self.absence(key) is None

    def absence(self, key: str) -> str | None:
        """Why the weights of a model are of no use here, to follow its name, without a path; None if they are."""
        folder, entry = self.path(key), self.models[key]
        try:
            os.stat(folder / "model_index.json")
        except OSError as error:
            if key in self._elsewhere():
                return None
            if not entry.local and isinstance(error, (FileNotFoundError, NotADirectoryError)):
                return NOT_PULLED
            what = f"local folder {_shown(entry.id)!r}" if entry.local else "weights"
            return f"whose {what} {_fault_of(folder, error)}"
        return None

    def available(self) -> Iterator[str]:
        """The keys of the models that can run here."""
        return (key for key in self.models if self.is_available(key))

    @property
    def default(self) -> str:
        """The preferred model where it is available, else the demo model."""
        if self.is_available(self.preferred) or FALLBACK_MODEL not in self.models:
            return self.preferred
        return FALLBACK_MODEL


def _is_there(folder: Path) -> bool:
    """Whether a folder can be seen; where it cannot for want of permission, `absence` says so."""
    try:
        folder.stat()
    except OSError:
        return False
    return True


def _shown(folder: str) -> str:
    """A local folder as the catalog names it; where that is a path of the server, its end."""
    return Path(folder).name if Path(folder).is_absolute() else folder


def _fault_of(folder: Path, error: OSError) -> str:
    """What an error says about a folder of weights that was looked into."""
    if isinstance(error, NotADirectoryError):
        return "is a file; it must be the folder of a diffusers pipeline, with its model_index.json"
    if not isinstance(error, FileNotFoundError):
        return f"cannot be read here: {error.strerror}"
    if not folder.exists():
        return "is not on this machine; its path counts from the folder of the catalog"
    return "has no model_index.json, so it is no diffusers pipeline"


Kind = TypeVar("Kind")


def _convert(text: str, path: Path) -> _CatalogFile:
    """The catalog in `text`, checked model by model, so that an error can name its model, key and line."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{path} is not valid TOML: {error}.") from error
    entries = document.get("models")
    if not isinstance(entries, dict) or not entries:
        raise CatalogError(f"{path}: it must have at least one table like [models.demo].")
    models = {key: _checked(entry, ModelEntry, f"models.{key}", text, path) for key, entry in entries.items()}
    content = _checked(document | {"models": models}, _CatalogFile, "", text, path)
    for key, entry in models.items():
        fault = _fault(key, entry)
        if fault:
            raise CatalogError(f"{path}, line {_line_of(['models', key], text)}: {fault}")
    return content


def _fault(key: str, entry: ModelEntry) -> str | None:
    """A sentence about what the types cannot say: names that are folders, defaults beyond limits."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", key):
        return (
            f"the model key {key!r} must be 1 to 64 letters, digits, dots, - and _, beginning with a letter or digit."
        )
    defaults, limits = entry.defaults, entry.limits
    for name, side in (("height", defaults.height), ("width", defaults.width)):
        if not limits.min_side <= side <= limits.max_side or side % limits.size_multiple:
            return (
                f"models.{key}.defaults.{name} is {side}; by its limits it must be a multiple of "
                f"{limits.size_multiple} from {limits.min_side} to {limits.max_side}."
            )
    if defaults.height * defaults.width > limits.max_pixels:
        size = f"{defaults.width}x{defaults.height}"
        return f"models.{key}.defaults are {size}; limits.max_pixels allows {limits.max_pixels} pixels."
    for name, value, limit, most in (
        ("num_inference_steps", defaults.num_inference_steps, "max_steps", limits.max_steps),
        ("guidance_scale", defaults.guidance_scale, "max_guidance_scale", limits.max_guidance_scale),
    ):
        if value > most:
            return (
                f"models.{key}.defaults.{name} is {value}; limits.{limit} is {most}: lower the one or raise the other."
            )
    if limits.drawn_side is not None and limits.drawn_side < limits.min_side:
        return (
            f"models.{key}.limits.drawn_side is {limits.drawn_side}; it must be at least min_side, {limits.min_side}."
        )
    return None


def _checked(value: Any, kind: type[Kind], name: str, text: str, path: Path) -> Kind:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise CatalogError(f"{path}{_explain(str(error), value, kind, name, text)}") from error


def _explain(problem: str, value: Any, kind: Any, name: str, text: str) -> str:
    """`, line 12: models.flux-1.limits.max_side is 4; Expected int >= 8.`"""
    problem, _, place = problem.partition(" - at `$")
    inner = [part for part in place.rstrip("`").split(".") if part]
    for part in inner:
        kind = msgspec.structs.fields(kind) and _type_of(kind, part)
        value = value.get(part) if isinstance(value, dict) else None
    if problem.startswith("Object contains unknown field"):
        known = [field.name for field in msgspec.structs.fields(kind)]
        inner.append(next(key for key in value if key not in known))
        near = difflib.get_close_matches(inner[-1], known, 1)
        problem = f"is not a known key; there are: {', '.join(known)}{f' ({near[0]}, perhaps)' if near else ''}"
    elif problem.startswith("Object missing required field"):
        problem = f"lacks the key {problem.split('`')[1]}"
    elif inner:
        problem = f"is {value!r}; it must be {_in_words(problem, kind)}"
    full = ".".join(part for part in (name, *inner) if part) or "the catalog"
    path = [*name.split(".", 1), *inner] if name else inner or [""]
    return f", line {_line_of(path, text)}: {full} {problem}."


def _in_words(problem: str, kind: Any) -> str:
    options = [str(word) for part in (kind, *get_args(kind)) if get_origin(part) is Literal for word in get_args(part)]
    if options:
        return f"one of {', '.join(options)}"
    return problem.removeprefix("Expected ").partition(", got")[0].replace("`", "")


def _type_of(kind: Any, name: str) -> Any:
    return next((field.type for field in msgspec.structs.fields(kind) if field.name == name), kind)


def _line_of(path: list[str], text: str) -> int:
    """The line (from 1) on which a key stands, or the nearest that can be found: its table."""
    last = path[-1]
    key = path[1] if path[0] == "models" and len(path) > 1 else None
    header = re.compile(rf"\s*\[\s*models\s*\.\s*[\"']?{re.escape(key or '')}[\"']?\s*[.\]]")
    wanted = re.compile(rf"(^|[\s{{,.\[]){re.escape(last)}\s*(=|\])")
    found, is_inside = 0, key is None
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            is_inside = key is None or header.match(line) is not None
            found = number if is_inside and key is not None and not found else found
        if is_inside and wanted.search(line.split("#")[0]):
            return number
    return max(found, 1)
