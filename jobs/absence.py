"""Why the weights of a model are of no use on this machine, in words that follow the model's name and hold no path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: A pull would bring them.
NOT_PULLED: Final = "whose weights are not on this machine"


def reason(folder: Path, local_name: str | None) -> str | None:
    """Why the weights in `folder` cannot be used; None if they can. `local_name`: a local model's folder, as named."""
    try:
        os.stat(folder / "model_index.json")
    except OSError as error:
        if local_name is None and isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return NOT_PULLED
        what = "weights" if local_name is None else f"local folder {_shown(local_name)!r}"
        return f"whose {what} {_fault_of(folder, error)}"
    return None


def is_there(folder: Path) -> bool:
    """Whether a folder can be seen; where it cannot for want of permission, `reason` says so."""
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
