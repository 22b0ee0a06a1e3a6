"""The request that the options of `generate` say: what a new option of a picture changes is here alone."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from client.api_client import CyberImageClient
from client.settings import NAMES, PICTURES, as_sent
from client.short_ids import ShortIds

#: What a picture that is like another does not take from it, unless told so.
_OF_ITS_OWN = ("num_images", "seed", "strength", "outpaint")


def count_of(args: Namespace) -> int:
    """How many pictures a request asks for."""
    return args.num_images or 1


def basis_of(client: CyberImageClient, args: Namespace) -> dict[str, Any]:
    """What all requests of one command have in common: what `--like` brings, and over it what was said."""
    basis = _like(client, args) if args.like is not None else {"settings": {}}
    if args.model is not None:
        basis["model_id"] = args.model
    if "model_id" not in basis:
        basis["model_id"] = client.models().default
    if args.negative is not None:
        basis["negative_prompt"] = args.negative
    if args.labels:
        basis["labels"] = args.labels
    basis |= {name: client.named(_picture(said)) for name in PICTURES if (said := getattr(args, name)) is not None}
    settings = {name: getattr(args, name) for name in NAMES}
    if args.size:
        settings["width"], settings["height"] = args.size
    return basis | {"settings": basis["settings"] | as_sent(settings)}


def _picture(said: str) -> Path | str:
    """A file, or the id of a picture that the server has; a file of that name is meant first."""
    return said if said.startswith(("in_", "img_")) and not Path(said).exists() else Path(said)


def request_of(client: CyberImageClient, args: Namespace, basis: dict[str, Any], prompt: str) -> dict[str, Any]:
    """The body of `POST /api/generate` for one prompt; without one the basis has it."""
    words = prompt or basis["prompt"]
    if args.enrich is not None:
        words = client.enrich(words, args.enrich).enriched_prompt
    return basis | {"prompt": words}


def _like(client: CyberImageClient, args: Namespace) -> dict[str, Any]:
    """The request that made an image, or a job."""
    found = ShortIds(client).either(args.like)
    if found.is_image:
        image = client.metadata(found.id)
        made = (image.model_id, image.prompt, image.requested_negative_prompt or image.negative_prompt)
        settings, seed = image.settings, image.seed
    else:
        job = client.status(found.id)
        made = (job.model_id, job.prompt, job.negative_prompt)
        settings = job.effective_settings or job.settings
        seed = settings.get("seed")
    model, prompt, negative = made
    kept = {name: value for name, value in settings.items() if name not in _OF_ITS_OWN}
    if args.same_seed and seed is not None:
        kept["seed"] = seed
    request = {"model_id": model, "prompt": prompt, "settings": kept}
    return request | ({"negative_prompt": negative} if negative else {})
