"""Fetches the weights of catalog models from the hub, and looks after those that are here. No torch.

Nothing else in this project reaches out to a hub, and a pull happens only when an operator asks for it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.local import weights
from engine.local.weights import RECORD_NAME, DamagedModel, PullRecord
from jobs.catalog import Catalog
from jobs.ids import timestamp

#: Kept free on the disk beside the weights.
_DISK_RESERVE: Final = 1 << 30
#: What a component's folder may hold: weights without pickle, configurations, tokenizers.
_KINDS: Final = (".safetensors", ".json", ".txt", ".model")

#: What a small decoder for previews consists of.
_SMALL_DECODER: Final = ("config.json", "diffusion_pytorch_model.safetensors")


class PullFailed(Exception):
    """A model could not be fetched; the message says why and what to do."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a hub repository: path, bytes, and SHA-256 where the hub knows it."""

    path: str
    size: int
    sha256: str | None


class ModelStore:
    """The weights of a catalog's models. `hub` is the huggingface_hub module, or what stands in for it."""

    def __init__(self, catalog: Catalog, hub: Any) -> None:
        self._catalog = catalog
        self._hub = hub

    def pull(self, key: str, token: str | None) -> Path:
        """Fetch what a model needs; an interrupted pull goes on where it stopped. Raises PullFailed."""
        entry = self._catalog.entry(key)
        if entry.local:
            raise PullFailed(f"{key} is a local model ({entry.id}); there is nothing to pull.")
        target = self._catalog.path(key)
        if target.exists():
            if self._pull_preview_decoder(key, token):
                return target
            raise PullFailed(f"{key} is here already ({target}); remove {target.name} first to fetch it again.")
        partial = target.with_name(f"{target.name}.partial")
        try:
            revision, files = self._remote_files(entry.id, entry.revision, token)
            _check_disk(target.parent, files, partial)
            self._hub.snapshot_download(
                entry.id,
                revision=revision,
                local_dir=partial,
                allow_patterns=[file.path for file in files],
                token=token,
            )
        except DamagedModel as error:
            raise PullFailed(f"{key} cannot be used: {error}") from error
        except (OSError, self._hub.errors.HTTPError, self._hub.errors.EntryNotFoundError) as error:
            # HTTPError is that of the hub's HTTP library, for a hub that cannot be reached.
            raise PullFailed(self._explain(error, key, entry.id, entry.revision)) from error
        shutil.rmtree(partial / ".cache", ignore_errors=True)
        _write_record(partial, entry.id, revision, files)
        _check_whole(partial, key)
        os.rename(partial, target)
        self._pull_preview_decoder(key, token)
        return target

    def _pull_preview_decoder(self, key: str, token: str | None) -> bool:
        """Fetch a model's small decoder for previews; False if it has none, or has it. Raises PullFailed."""
        target, repository = self._catalog.preview_decoder_path(key), self._catalog.entry(key).preview_decoder
        if target is None or repository is None or target.exists():
            return False
        partial = target.with_name(f"{target.name}.partial")
        try:
            self._hub.snapshot_download(repository, local_dir=partial, allow_patterns=[*_SMALL_DECODER], token=token)
        except (OSError, self._hub.errors.HTTPError) as error:
            raise PullFailed(self._explain(error, f"The preview decoder of {key}", repository, None)) from error
        if missing := [name for name in _SMALL_DECODER if not (partial / name).is_file()]:
            raise PullFailed(f"{repository} lacks {missing[0]}: check `preview_decoder` of {key}.")
        shutil.rmtree(partial / ".cache", ignore_errors=True)
        os.rename(partial, target)
        return True

    def verify(self, key: str) -> list[str]:
        """The faults of a model's files as sentences; empty if there are none. Reads every byte."""
        folder = self._catalog.path(key)
        try:
            weights.inspect(folder)
        except DamagedModel as error:
            return [str(error)]
        record = weights.pull_record(folder)
        return [] if record is None else list(_faults(folder, record))

    def remove(self, key: str) -> int:
        """Remove a pulled model, also an unfinished pull; returns the bytes freed. Raises PullFailed."""
        if self._catalog.entry(key).local:
            raise PullFailed(f"{key} is a local model; it was not pulled and is not removed.")
        target = self._catalog.path(key)
        if target.name != key:
            raise PullFailed(f"{key} has no weights of its own; it uses those of {target.name}: remove those.")
        freed = 0
        for folder in (target, target.with_name(f"{target.name}.partial"), *self._own_preview_decoder(key)):
            freed += size_of(folder)
            shutil.rmtree(folder, ignore_errors=True)
        return freed

    def _own_preview_decoder(self, key: str) -> list[Path]:
        """The folder of a model's small decoder, if no other model uses it."""
        path = self._catalog.preview_decoder_path(key)
        others = (self._catalog.preview_decoder_path(other) for other in self._catalog.models if other != key)
        return [] if path is None or path in others else [path]

    def _remote_files(self, repository: str, revision: str | None, token: str | None) -> tuple[str, list[RemoteFile]]:
        """The exact revision, and the files that the pipeline needs."""
        info = self._hub.HfApi(token=token).model_info(repository, revision=revision, files_metadata=True)
        everything = [_remote(item) for item in info.siblings]
        if not any(file.path == "model_index.json" for file in everything):
            raise PullFailed(f"{repository} has no model_index.json: it is no diffusers pipeline.")
        index_path = self._hub.hf_hub_download(repository, "model_index.json", revision=info.sha, token=token)
        index = weights.read_index(Path(index_path).parent)
        return info.sha, needed_files(everything, weights.components_of(index))

    def _explain(self, error: Exception, key: str, repository: str, revision: str | None) -> str:
        errors = self._hub.errors
        page = f"https://huggingface.co/{repository}"
        if isinstance(error, errors.GatedRepoError):
            return (
                f"{key} is gated: accept its licence at {page} with your account, make a token at "
                f"https://huggingface.co/settings/tokens, and set HF_TOKEN."
            )
        if isinstance(error, errors.RevisionNotFoundError):
            return f"{repository} has no revision {revision!r}; correct `revision` of {key} in the catalog."
        if isinstance(error, errors.RepositoryNotFoundError):
            return f"There is no model {repository} on the hub, or it is private: check `id` of {key}, or set HF_TOKEN."
        return (
            f"{key} could not be fetched from {page}: {str(error).splitlines()[0] if str(error) else error!r}. "
            "Run the same command again to go on where it stopped."
        )


def needed_files(files: list[RemoteFile], components: list[str]) -> list[RemoteFile]:
    """What of a repository the pipeline needs: its components' folders, without pickles and other variants."""
    names: dict[str, list[str]] = {component: [] for component in components}
    for file in files:
        folder, _, name = file.path.partition("/")
        if folder in names and "/" not in name and name.endswith(_KINDS):
            names[folder].append(name)
    variant = weights.choose_variant("The repository", names)
    wanted = {"model_index.json"}
    for folder, inside in names.items():
        loaded = weights.weights_to_load(inside, variant)
        wanted |= {f"{folder}/{name}" for name in inside if name in loaded or not weights.are_weights(name)}
    return [file for file in files if file.path in wanted]


def size_of(folder: Path) -> int:
    """The bytes below a folder; 0 if it is not there."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _remote(item: Any) -> RemoteFile:
    return RemoteFile(item.rfilename, item.size or 0, item.lfs.sha256 if item.lfs else None)


def _check_disk(folder: Path, files: list[RemoteFile], partial: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum(file.size for file in files) - size_of(partial)
    free = shutil.disk_usage(folder).free
    if needed + _DISK_RESERVE > free:
        raise PullFailed(
            f"{needed / 1e9:.1f} GB are needed below {folder}, and 1 GB must stay free, "
            f"but only {free / 1e9:.1f} GB are."
        )


def _write_record(folder: Path, repository: str, revision: str, files: list[RemoteFile]) -> None:
    record = PullRecord(
        id=repository,
        revision=revision,
        pulled_at=timestamp(),
        files={file.path: (file.size, file.sha256) for file in files},
    )
    (folder / RECORD_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def _check_whole(folder: Path, key: str) -> None:
    try:
        weights.inspect(folder)
    except DamagedModel as error:
        raise PullFailed(f"{key} was fetched but cannot be used: {error}") from error


def _faults(folder: Path, record: PullRecord) -> Iterator[str]:
    for name, (size, sha256) in record.files.items():
        path = folder / name
        if not path.is_file():
            yield f"{name} is missing."
        elif path.stat().st_size != size:
            yield f"{name} has {path.stat().st_size} bytes, not {size}."
        elif sha256 is not None and _sha256(path) != sha256:
            yield f"{name} is damaged: its SHA-256 is not that of the hub."


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
