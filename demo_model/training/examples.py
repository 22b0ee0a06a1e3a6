"""Endless training examples: prompts as the text encoder reads them, latents of scenes that honour them, pictures."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from demo_model.training.captions import Captioned, captioned
from demo_model.training.latents import encode
from demo_model.training.layout import Layout, arranged
from demo_model.training.patch_code import PatchCode
from demo_model.training.scene import Request, complete, random_request
from demo_model.training.slots import LENGTH
from demo_model.training.text_encoder import new_text_encoder
from demo_model.training.world import paint

POOL = 8192
"""So many prompts are kept to be drawn from again; each time with another scene."""
RENEWED = 4
"""One prompt in so many drawn ones is new, since reading takes its time."""


class Reader:
    """The trained text encoder of a run: what the denoiser attends to, exactly as the pipeline will give it."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self._model = new_text_encoder(self._tokenizer).eval()
        stored = torch.load(folder / "text_encoder.pt", weights_only=True)
        self._model.load_state_dict(stored["model"])

    def read(self, texts: list[str]) -> Tensor:
        """The encoded prompts (count, positions, width)."""
        tokens = self._tokenizer(
            texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
        ).input_ids
        with torch.no_grad():
            encoded: Tensor = self._model(tokens).last_hidden_state
        return encoded


class Examples:
    """Prompts with latents for the denoiser; the same for the same seed."""

    def __init__(self, seed: int, reader: Reader) -> None:
        self._rng = Random(seed)
        self._reader = reader
        self._pool: list[tuple[Tensor, Request]] = []
        self.no_prompt = reader.read([""])[0]

    def drawn(self, count: int) -> tuple[Tensor, Tensor]:
        """Latents (count, channels, 16, 16), all new, and encoded prompts (count, positions, width)."""
        self._renew(count if not self._pool else count // RENEWED)
        chosen = self._rng.choices(self._pool, k=count)
        cells = [encode(arranged(complete(request, self._rng))) for _, request in chosen]
        return torch.from_numpy(np.stack(cells)), torch.stack([encoded for encoded, _ in chosen]).float()

    def _renew(self, count: int) -> None:
        new: list[Captioned] = [captioned(self._rng) for _ in range(count)]
        for encoded, one in zip(self._reader.read([one.text for one in new]).half(), new, strict=True):
            if len(self._pool) < POOL:
                self._pool.append((encoded, one.request))
            else:
                self._pool[self._rng.randrange(POOL)] = (encoded, one.request)


def random_layout(rng: Random) -> Layout:
    """The layout of a random scene."""
    return arranged(complete(random_request(rng), rng))


def painted(count: int, rng: Random, looks: PatchCode | None = None) -> tuple[Tensor, Tensor]:
    """Latents (count, channels, 16, 16) and pictures (count, 3, 256, 256), from -1 to 1, for the decoder.

    With ``looks`` the latents have its components as further channels.
    """
    layouts = [random_layout(rng) for _ in range(count)]
    cells = np.stack([encode(layout) for layout in layouts])
    pictures = np.stack([paint(layout) for layout in layouts])
    if looks is not None:
        cells = np.concatenate([cells, np.stack([looks.encode(picture) for picture in pictures])], axis=1)
    shown = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.from_numpy(cells), shown
