"""What a model can do beyond drawing from words, told from the class of its pipeline, without loading anything.

`tests/unit/engine/test_abilities.py` compares the table with diffusers' own.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Final

from msgspec import Struct

from core import files
from jobs import schedulers

#: Larger files than this are no index of a pipeline.
_LIMIT: Final = 1 << 20


class Abilities(Struct, frozen=True, kw_only=True):
    """What a model makes pictures from, and the noise schedules that it can be drawn with."""

    text_to_image: bool = True
    #: From a picture, of which `strength` says how much is left.
    image_to_image: bool = False
    #: Part of a picture anew, or what lies beyond its edges.
    inpainting: bool = False
    schedulers: tuple[str, ...] = ()
    #: Those of them that cannot begin from a picture.
    from_words_only: tuple[str, ...] = ()

    def schedulers_for(self, *, has_picture: bool) -> tuple[str, ...]:
        """The schedules for a request with or without a picture to begin from."""
        return tuple(name for name in self.schedulers if not (has_picture and name in self.from_words_only))


def _all(names: tuple[str, ...], from_words_only: tuple[str, ...] = ()) -> Abilities:
    return Abilities(image_to_image=True, inpainting=True, schedulers=names, from_words_only=from_words_only)


#: By the name of the pipeline's class. Others draw from words, with their own schedule.
BY_PIPELINE: Final = {
    "FluxFillPipeline": Abilities(text_to_image=False, inpainting=True, schedulers=schedulers.FLUX_FILL),
    "FluxPipeline": _all(schedulers.FLUX, schedulers.FROM_WORDS_ONLY),
    "QwenImagePipeline": _all(schedulers.QWEN_IMAGE, schedulers.FROM_WORDS_ONLY),
    "StableDiffusion3Pipeline": _all(schedulers.STABLE_DIFFUSION_3, schedulers.FROM_WORDS_ONLY),
    "StableDiffusionPipeline": _all(schedulers.DIFFUSION),
    "StableDiffusionXLPipeline": _all(schedulers.DIFFUSION),
}
_OTHERS: Final = Abilities()


def of_pipeline(name: str | None) -> Abilities:
    """What pipelines of a class can do."""
    return BY_PIPELINE.get(name or "", _OTHERS)


def pipeline_of(folder: Path) -> str | None:
    """The name of the class of the pipeline in a folder of weights; None where it cannot be read."""
    path = folder / "model_index.json"
    try:
        status = path.stat()
    except OSError:
        return None
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _read(path: Path, _changed: int, _size: int) -> str | None:
    try:
        name = json.loads(files.read(path.resolve(), limit=_LIMIT)).get("_class_name")
    except (OSError, ValueError, AttributeError):
        return None
    return name if isinstance(name, str) else None
