"""An engine that loads nothing and draws flat pictures: the smallest one that keeps the contract, for tests.

Words in the prompt say what goes wrong: `hang` (no sign of life), `kill` (SIGKILL to itself), `exit` (status 3),
`freeze` (writes to the folder STUB_FROZEN_FOLDER, and never returns while that file system is frozen), `slow`
(20 steps of 0.1 s; else 2 of 0.01 s), `linger` (the first attempt stays at the second image until it is
interrupted), `deaf` (does not look for interrupts), `refuse`, `memory`, `device` (the errors of the contract). With
the word `once` only the first attempt does so: the first one of this prompt, whichever process made it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from PIL import Image

from engine.contract import DeviceFault, DrawnImage, DrawTask, Listener, MadeWith, OutOfMemory

_PLAN: Final = {"stub": True}


class StubEngine:
    """See `engine.contract.Engine`. `attempted` remembers prompts over processes, for `once`: a folder of marks."""

    def __init__(self, device: str, attempted: Path) -> None:
        self._device = device
        self._attempted = attempted
        self._loaded: list[str] = []

    @property
    def device(self) -> str:
        """The device that it was told to use."""
        return self._device

    @property
    def device_name(self) -> str:
        """A name that nobody takes for a GPU."""
        return "a stub"

    def why_replace(self) -> str | None:
        """It holds nothing."""
        return None

    def draw(self, task: DrawTask, listener: Listener) -> Iterator[DrawnImage]:
        """Flat pictures, whose colour follows from the seed."""
        words = task.prompt.split()
        if task.model not in self._loaded:
            with listener.loading(task.model):
                self._loaded.append(task.model)
            listener.loaded(task.model, 0.1, _PLAN, list(self._loaded))
        if "once" not in words or self._is_first(task.prompt):
            _misbehave(words)
        stays = "linger" in words and self._is_first(task.prompt)
        steps, seconds = (20, 0.1) if "slow" in words else (2, 0.01)
        listener.drawing()
        for index, seed in enumerate(task.seeds):
            for step in range(1, steps + 1):
                _do_step(listener, index, (step, steps), seconds, is_deaf="deaf" in words)
            while stays and index == 1:
                _do_step(listener, index, (steps, steps), seconds, is_deaf=False)
            yield self._image(task, seed)

    def _is_first(self, prompt: str) -> bool:
        self._attempted.mkdir(parents=True, exist_ok=True)
        mark = self._attempted / prompt.encode().hex()[:200]
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _image(self, task: DrawTask, seed: int) -> DrawnImage:
        colour = (seed % 251, seed // 251 % 251, 128)
        return DrawnImage(
            seed=seed,
            image=Image.new("RGB", (task.settings.width, task.settings.height), colour),
            negative_prompt=task.negative_prompt,
            duration_seconds=0.01,
            warnings=(),
            made_with=MadeWith(
                device=self.device_name,
                dtype="none",
                scheduler=None,
                scheduler_options={},
                revision=None,
                plan=dict(_PLAN),
                versions={},
            ),
        )


def _do_step(listener: Listener, index: int, step: tuple[int, int], seconds: float, *, is_deaf: bool) -> None:
    time.sleep(seconds)
    listener.step(index, *step)
    if not is_deaf:
        listener.check_interrupts()


def _misbehave(words: list[str]) -> None:
    if "kill" in words:
        os.kill(os.getpid(), signal.SIGKILL)
    if "exit" in words:
        os._exit(3)
    if "hang" in words:
        time.sleep(3600)
    if "freeze" in words:
        (Path(os.environ["STUB_FROZEN_FOLDER"]) / "written").write_text("thawed", encoding="utf-8")
    if "refuse" in words:
        raise ValueError("the stub refuses this")
    if "memory" in words:
        raise OutOfMemory("about 8x8 should fit", has_lower_memory_plan=True)
    if "device" in words:
        raise DeviceFault("the stub's device is lost")
