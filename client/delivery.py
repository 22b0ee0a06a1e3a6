"""Saves the pictures of jobs, each as soon as the server has it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from client import terminal
from client.api_client import CyberImageClient
from client.errors import ClientError, ServerUnavailable, ServerUnreachable
from client.exit_codes import Ended, sentence_of
from client.output_files import Output, Picture
from client.results import JobStatus
from client.short_ids import short


class Delivery:
    """The pictures of one command. `expected` is how many there will be, `show` is given each one that is saved.

    What cannot be saved keeps no other picture from being saved: the first such error is raised by `finish`.
    """

    def __init__(
        self,
        client: CyberImageClient,
        output: Output,
        expected: int,
        *,
        quiet: bool = False,
        show: Callable[[bytes], None] = lambda picture: None,
    ) -> None:
        self.show = show
        self.files: list[str] = []
        self._client = client
        self._output = output
        self._expected = expected
        # The names are the answer. Where the terminal has the bar they wait until it is gone.
        self._is_quiet = quiet or output.is_stdout
        self._names_wait = sys.stdout.isatty()
        self._done: set[str] = set()
        self._failed: dict[str, Exception] = {}

    def take(self, job: JobStatus, before: int = 0) -> None:
        """Save what a job has and is not saved yet; `before` pictures of this command come before those of the job."""
        self._expected = max(self._expected, before + len(job.images))
        for place, image in enumerate(job.images, start=1):
            facts = image.facts
            number = facts.image_number or place
            seed = facts.seed if facts.seed is not None else _first_seed(job) + number - 1
            self.take_image(image.id, n=before + number, seed=seed, prompt=facts.prompt or job.prompt)

    def take_image(self, image_id: str, *, n: int, seed: int, prompt: str) -> None:
        """Save one picture, if it is not saved yet."""
        if image_id in self._done:
            return
        picture = Picture(n=n, count=self._expected, id=image_id, seed=seed, prompt=prompt)
        try:
            content = self._client.image(image_id)
            with uninterrupted():
                self._done.add(image_id)
                self.files.append(self._output.save(picture, content))
        except BrokenPipeError:
            raise
        except (ClientError, Ended, OSError) as error:
            self._failed[image_id] = error
            # A server that is away for a moment is asked again with the next news of the job.
            if not isinstance(error, ServerUnreachable | ServerUnavailable):
                self._done.add(image_id)
            return
        self._failed.pop(image_id, None)
        self._tell(self.files[-1])
        self.show(content)

    def names(self) -> None:
        """Print the names that waited for the bar to go."""
        if self._names_wait and not self._is_quiet:
            for name in self.files:
                terminal.file_name(name)

    def finish(self) -> None:
        """Raise the first error, if there was one, after naming the others."""
        if not self._failed:
            return
        (image_id, error), *others = self._failed.items()
        for other_id, other in others:
            terminal.note(f"cyberimage: {short(other_id)}: {sentence_of(other)[1]}")
        code, sentence = sentence_of(error)
        remark = f" The server keeps the picture: cyberimage download {short(image_id)}"
        raise Ended(code, sentence + remark, files=self.files) from error

    def _tell(self, name: str) -> None:
        if not self._names_wait and not self._is_quiet:
            with terminal.reader_may_leave():
                terminal.file_name(name)


def _first_seed(job: JobStatus) -> int:
    seed = job.effective_settings.get("seed")
    return seed if isinstance(seed, int) else 0


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until this is done: a file is saved and known to be, or neither."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[tuple[int, FrameType | None]] = []
    usual = signal.signal(signal.SIGINT, lambda number, frame: heard.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if heard and callable(usual):
        usual(*heard[0])
