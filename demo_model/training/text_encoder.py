"""Training the tokenizer and the text encoder: from a caption to its slot vectors.

    python -m demo_model.training.text_encoder --data WORK --minutes 15

The encoder is causal and prompts are padded to a fixed length, so its last positions see
the whole prompt: they are the slots. In the first phase the padding between text and
slots is left out (the positions keep their numbers), which is several times faster; in
the second phase the encoder sees what the pipeline will give it.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from random import Random

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from demo_model.training.captions import captioned
from demo_model.training.command_line import run_parser
from demo_model.training.slots import COUNT, LENGTH, SLOTS, WIDTH, Codebook, indices

VOCABULARY = 2048
BATCH = 64
POOL = 8
"""Batches drawn at once and sorted by length, so that a batch needs little padding."""
PEAK_RATE = 2e-3
FULL_SHARE = 0.3
"""The last share of the budget is the second phase."""
TEMPERATURE = 0.1
END = "<|endoftext|>"
START = "<|startoftext|>"


def train_tokenizer(folder: Path) -> CLIPTokenizer:
    """Learn a byte-level vocabulary from captions and store it as CLIP's two files."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WORDS, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=alphabet,
        special_tokens=[START, END],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    rng = Random(11)
    bpe.train_from_iterator((captioned(rng).text for _ in range(30000)), trainer)
    model = json.loads(bpe.to_str())["model"]
    merges = [tuple(pair) if isinstance(pair, list) else tuple(pair.split()) for pair in model["merges"]]
    vocabulary = _with_word_ends(model["vocab"], alphabet)
    tokenizer = CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,  # type: ignore[arg-type]  # pairs, as its own files hold them
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=END,
        model_max_length=LENGTH,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


_WORDS = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")


def _with_word_ends(vocabulary: dict[str, int], alphabet: list[str]) -> dict[str, int]:
    """Every byte also as the end of a word, so that nothing is unknown."""
    complete = dict(vocabulary)
    for character in alphabet:
        for token in (character, f"{character}</w>"):
            complete.setdefault(token, len(complete))
    return complete


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The text encoder with random weights."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


class Captions:
    """Endless batches of captions; token numbers, positions and the wanted features."""

    def __init__(self, tokenizer: CLIPTokenizer, seed: int) -> None:
        self._tokenizer = tokenizer
        self._rng = Random(seed)

    def pool(self, full: bool) -> list[tuple[Tensor, Tensor, Tensor]]:
        drawn = [captioned(self._rng) for _ in range(BATCH * POOL)]
        tokens = self._tokenizer([c.text for c in drawn], truncation=True)["input_ids"]
        order = sorted(range(len(drawn)), key=lambda i: len(tokens[i]))
        batches = []
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            longest = LENGTH if full else len(tokens[chosen[-1]]) + COUNT
            wanted = torch.tensor([indices(drawn[i].request) for i in chosen])
            batches.append((*self._padded([tokens[i] for i in chosen], longest), wanted))
        self._rng.shuffle(batches)
        return batches

    def _padded(self, tokens: list[list[int]], longest: int) -> tuple[Tensor, Tensor]:
        """Token numbers padded at the end, and positions of which the last are the slots."""
        longest = min(longest, LENGTH)
        padding = self._tokenizer.pad_token_id
        filled = torch.full((len(tokens), longest), padding)
        for row, line in enumerate(tokens):
            filled[row, : len(line)] = torch.tensor(line)
        text = torch.arange(longest - COUNT)
        slots = torch.arange(LENGTH - COUNT, LENGTH)
        return filled, torch.cat([text, slots])[None]


class Choices:
    """For each slot, the vectors of all that it can say, to train by cross-entropy."""

    def __init__(self, codebook: Codebook) -> None:
        self._vectors: list[Tensor] = []
        self._sizes = [[len(values) for values in slot] for slot in SLOTS]
        features = sum(len(slot) for slot in SLOTS)
        first = 0
        for slot, sizes in enumerate(self._sizes):
            grid = torch.cartesian_prod(*(torch.arange(n) for n in sizes)).reshape(-1, len(sizes))
            asked = torch.zeros(len(grid), features, dtype=torch.long)
            asked[:, first : first + len(sizes)] = grid
            self._vectors.append(codebook.codes(asked)[:, slot])
            first += len(sizes)

    def loss(self, slots: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy summed over slots, and for each row whether all slots are right."""
        total, right, first = slots.new_zeros(()), torch.ones(len(slots), dtype=torch.bool), 0
        for slot, sizes in enumerate(self._sizes):
            target = torch.zeros(len(slots), dtype=torch.long)
            for size in sizes:
                target = target * size + wanted[:, first]
                first += 1
            logits = slots[:, slot] @ self._vectors[slot].T / (WIDTH * TEMPERATURE)
            total = total + functional.cross_entropy(logits, target)
            right &= logits.argmax(1) == target
        return total, right


def step_loss(
    model: CLIPTextModel,
    batch: tuple[Tensor, Tensor, Tensor],
    codebook: Codebook,
    choices: Choices,
) -> tuple[Tensor, float]:
    """The loss of one batch, and the share of captions that were read without a fault."""
    tokens, positions, wanted = batch
    hidden = model(input_ids=tokens, position_ids=positions).last_hidden_state
    slots = hidden[:, -COUNT:]
    entropy, right = choices.loss(slots, wanted)
    exact = functional.mse_loss(slots, codebook.codes(wanted))
    plain = functional.mse_loss(hidden[:, :-COUNT], codebook.plain.expand_as(hidden[:, :-COUNT]))
    return entropy + 3 * exact + plain, float(right.float().mean())


def train(folder: Path, minutes: float) -> None:
    """Train until ``minutes`` have been spent in all; saves as it goes and resumes."""
    path = folder / "text_encoder.pt"
    tokenizer = train_tokenizer(folder / "tokenizer")
    model = new_text_encoder(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    step, seconds = 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, seconds = state["step"], state["seconds"]
    captions, codebook = Captions(tokenizer, seed=step), Codebook()
    choices, recent = Choices(codebook), []
    while seconds < minutes * 60:
        for batch in captions.pool(seconds > minutes * 60 * (1 - FULL_SHARE)):
            began = time.monotonic()
            cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, seconds / (minutes * 60))))
            for group in optimizer.param_groups:
                group["lr"] = PEAK_RATE * min(1.0, (step + 1) / 200) * cosine
            loss, right = step_loss(model, batch, codebook, choices)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step, seconds = step + 1, seconds + time.monotonic() - began
            recent.append((float(loss.detach()), right))
            if step % 100 == 0:
                mean_loss, mean_right = np.mean(recent, axis=0)
                print(f"step {step}, {seconds:.0f} s, loss {mean_loss:.4f}, right {mean_right:.4f}", flush=True)
                recent.clear()
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save({**state, "step": step, "seconds": seconds}, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)


def main() -> None:
    parser = run_parser(__doc__, minutes=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.data, options.minutes)


if __name__ == "__main__":
    main()
