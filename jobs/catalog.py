"""The model catalog, `models.toml`: which models there are, their defaults, limits and abilities."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from core import text_file
from core.explain import explain
from jobs import abilities, absence, limits
from jobs.abilities import Abilities
from jobs.errors import CatalogError, UnknownModel
from jobs.limits import Limits
from jobs.schema import ModelDefaults

FALLBACK_MODEL: Final = "demo"
#: The folder of pulled preview decoders, beside those of the models; no key of a model begins with a dot.
PREVIEW_DECODERS: Final = ".preview-decoders"


class Capabilities(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model does with a request beyond the prompt."""

    negative_prompt: bool = False
    #: Whether `callback_steps` has a meaning for it (the spec: SD 3.5 only).
    callback_steps: bool = False
    #: Whether guidance is done by a second pass with the negative prompt (`true_cfg_scale`), as Qwen-Image does it.
    true_cfg: bool = False
    #: Whether it draws from a picture, and mends or continues one; None: as pipelines of its class do.
    image_to_image: bool | None = None
    inpainting: bool | None = None


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


class Quality(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The steps of a request that asks for a quality rather than for steps, as parts of the model's default steps."""

    low: Annotated[float, Meta(gt=0, le=10)] = 0.5
    medium: Annotated[float, Meta(gt=0, le=10)] = 1.0
    high: Annotated[float, Meta(gt=0, le=10)] = 1.5


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
    #: A small decoder (an `AutoencoderTiny`) for previews: a hub id, or with `local` a folder as `id` is one.
    preview_decoder: Annotated[str, Meta(min_length=1)] | None = None
    defaults: ModelDefaults = ModelDefaults()
    limits: Limits = Limits()
    capabilities: Capabilities = Capabilities()
    quality: Quality = Quality()

    def steps_of(self, quality: Literal["low", "medium", "high"]) -> int:
        """The steps for a quality, within the model's limits."""
        part: float = getattr(self.quality, quality)
        return max(1, min(self.limits.max_steps, round(part * self.defaults.num_inference_steps)))

    def shares_weights_with(self, other: ModelEntry) -> bool:
        """Whether one pull is enough for both."""
        return not self.local and not other.local and (self.id, self.revision) == (other.id, other.revision)


class _CatalogFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    default: str
    models: dict[str, ModelEntry]


class Catalog:
    """The models by key. `folder` is where the catalog file lies, `weights` where pulled models lie.

    `elsewhere` answers the models whose weights another program sees, one that would run them, and the classes of
    their pipelines.
    """

    def __init__(
        self,
        models: dict[str, ModelEntry],
        default: str,
        folder: Path,
        weights: Path,
        elsewhere: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.models = models
        self.preferred = default
        self._folder = folder
        self._weights = weights
        self._elsewhere = elsewhere

    @classmethod
    def load(cls, path: Path, weights: Path, elsewhere: Callable[[], Mapping[str, str]] = dict) -> Catalog:
        """Read and check the catalog; raises CatalogError with a sentence that names the fault."""
        try:
            text = text_file.read(path)
        except FileNotFoundError as error:
            raise CatalogError(f"There is no model catalog at {path}; set CYBERIMAGE_CATALOG.") from error
        except OSError as error:
            raise CatalogError(f"{path} cannot be read: {error.strerror}; set CYBERIMAGE_CATALOG.") from error
        except text_file.NotText as error:
            raise CatalogError(f"{path} {error}.") from error
        content = _convert(text, path)
        if content.default not in content.models:
            raise CatalogError(
                f"{path}: default is {content.default!r}; it must be one of {', '.join(content.models)}."
            )
        return cls(content.models, content.default, path.parent, weights, elsewhere)

    def entry(self, key: str) -> ModelEntry:
        """The entry of a model; raises UnknownModel where a job names one that this catalog does not have."""
        try:
            return self.models[key]
        except KeyError:
            raise UnknownModel(key, self.models) from None

    def key(self, name: str) -> str | None:
        """The key of a model named by its key or its hub id; None if there is none."""
        if name in self.models:
            return name
        return next((key for key, entry in self.models.items() if entry.id == name), None)

    def path(self, key: str) -> Path:
        """The folder that holds the weights of a model, present or not.

        Entries of the same hub repository and revision, as FLUX.1-dev and its FP8 form, share what is pulled.
        """
        entry = self.entry(key)
        if entry.local:
            return self._folder / entry.id
        twins = (other for other, it in self.models.items() if it.shares_weights_with(entry))
        folders = (self._weights / other for other in (key, *twins))
        return next((folder for folder in folders if absence.is_there(folder)), self._weights / key)

    def preview_decoder_path(self, key: str) -> Path | None:
        """The folder of a model's small decoder for previews, present or not; None if it is to have none."""
        entry = self.entry(key)
        if entry.preview_decoder is None:
            return None
        if entry.local:
            return self._folder / entry.preview_decoder
        return self._weights / PREVIEW_DECODERS / entry.preview_decoder.replace("/", "--")

    def is_available(self, key: str) -> bool:
        """Whether the weights of a model are here, or seen elsewhere."""
        return self.absence(key) is None

    def absence(self, key: str) -> str | None:
        """Why the weights of a model are of no use here, to follow its name, without a path; None if they are."""
        entry = self.entry(key)
        found = absence.reason(self.path(key), entry.id if entry.local else None)
        return None if found is None or key in self._elsewhere() else found

    def available(self) -> Iterator[str]:
        """The keys of the models that can run here."""
        return (key for key in self.models if self.is_available(key))

    def pipeline(self, key: str) -> str:
        """The class of a model's pipeline by its weights, here or elsewhere; empty where nobody has seen them."""
        return abilities.pipeline_of(self.path(key)) or self._elsewhere().get(key, "")

    def abilities(self, key: str) -> Abilities:
        """What a model draws from, and how: as pipelines of its class, unless its entry says otherwise."""
        found, said = abilities.of_pipeline(self.pipeline(key)), self.entry(key).capabilities
        return msgspec.structs.replace(
            found,
            image_to_image=found.image_to_image if said.image_to_image is None else said.image_to_image,
            inpainting=found.inpainting if said.inpainting is None else said.inpainting,
        )

    def capabilities(self, key: str) -> Capabilities:
        """What the entry of a model says that it does, completed by what pipelines of its class do."""
        found = self.abilities(key)
        return msgspec.structs.replace(
            self.entry(key).capabilities, image_to_image=found.image_to_image, inpainting=found.inpainting
        )

    @property
    def default(self) -> str:
        """The preferred model where it is available, else the demo model."""
        if self.is_available(self.preferred) or FALLBACK_MODEL not in self.models:
            return self.preferred
        return FALLBACK_MODEL


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
    if fault := entry.limits.fault():
        return f"models.{key}.limits.{fault}"
    if broken := limits.check(entry.defaults, entry.limits):
        place = f"models.{key}.defaults"
        return f"{broken.subject(place)} is {broken.value}; by models.{key}.limits it must be {broken.right}."
    return None


def _checked(value: Any, kind: type[Kind], at: str, text: str, path: Path) -> Kind:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        fault = explain(error, value, kind, name="the catalog", at=at)
        # The key of a model may have dots.
        place = [*at.split(".", 1), *fault.path[len(at) :].split(".")] if at else fault.path.split(".")
        line = _line_of([part for part in place if part] or [""], text)
        raise CatalogError(f"{path}, line {line}: {fault.sentence}") from error


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
