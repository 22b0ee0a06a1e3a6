"""`python -m runner.models list | pull KEY | verify KEY | remove KEY`: the weights of the catalog's models."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from core.errors import SettingsError
from core.settings import Settings
from engine.local import weights
from engine.local.model_store import ModelStore, PullFailed, size_of
from jobs.catalog import Catalog
from jobs.errors import CatalogError

console = Console()


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        settings = Settings.from_environment()
        catalog = Catalog.load(settings.catalog, settings.models)
        if chosen.command == "list":
            console.print(_listing(catalog))
            return 0
        if chosen.key not in catalog.models:
            raise PullFailed(f"{chosen.key!r} is not in the catalog; there are: {', '.join(catalog.models)}.")
        return int(chosen.run(catalog, chosen.key))
    except (CatalogError, SettingsError, PullFailed, PermissionError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runner.models", description="The weights of the catalog's models.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="which models are here, how big, which revision")
    for name, run, about in (
        ("pull", _pull, "fetch a model; goes on where an earlier pull stopped (HF_TOKEN for gated models)"),
        ("verify", _verify, "read every byte of a model and compare with what was pulled"),
        ("remove", _remove, "remove a model's weights from this machine"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("key", help="the model's key in the catalog")
        command.set_defaults(run=run)
    return parser


def _store(catalog: Catalog) -> ModelStore:
    import huggingface_hub
    import huggingface_hub.errors  # the package does not bring it by itself

    return ModelStore(catalog, huggingface_hub)


def _listing(catalog: Catalog) -> Table:
    table = Table("model", "source", "here", "size", "revision")
    for key, entry in catalog.models.items():
        folder = catalog.path(key)
        record = weights.pull_record(folder)
        table.add_row(
            key,
            entry.id,
            _presence(folder),
            f"{size_of(folder) / 1e9:.2f} GB" if folder.exists() else "",
            record.revision[:12] if record else (entry.revision or ""),
        )
    return table


def _presence(folder: Path) -> str:
    if (folder / "model_index.json").is_file():
        return "yes"
    return "in part" if folder.with_name(f"{folder.name}.partial").exists() else "no"


def _pull(catalog: Catalog, key: str) -> int:
    folder = _store(catalog).pull(key, os.environ.get("HF_TOKEN"))
    console.print(f"{key} is here: {folder} ({size_of(folder) / 1e9:.2f} GB). A running runner and API see it at once.")
    return 0


def _verify(catalog: Catalog, key: str) -> int:
    faults = _store(catalog).verify(key)
    for fault in faults:
        console.print(fault, style="red", markup=False)
    if not faults:
        console.print(f"{key} is whole.")
    return 1 if faults else 0


def _remove(catalog: Catalog, key: str) -> int:
    freed = _store(catalog).remove(key)
    console.print(f"{freed / 1e9:.2f} GB are free again." if freed else f"{key} was not here.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
