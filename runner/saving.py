"""Saves images in the background, so that encoding one does not hold up drawing the next."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec
from PIL.Image import Image

from outputs import png
from outputs.sidecar import Sidecar
from outputs.store import ImageStore, digest

#: Images that may wait to be encoded; drawing stops when encoding is slower, or memory would fill up.
_WAITING = 2


class ImageSaver:
    """Commits images in the order given, in one thread. An error is raised by the next call, or by `finish`.

    `on_saved` is called in that thread after each commit. Exiting the context without `finish` (because of
    an error) still commits what was handed over: it is drawn, and a later attempt will skip it.
    """

    def __init__(self, store: ImageStore, embed_metadata: bool, on_saved: Callable[[Sidecar], None]) -> None:
        self._store = store
        self._embed_metadata = embed_metadata
        self._on_saved = on_saved
        self._error: Exception | None = None
        self._tasks: queue.Queue[tuple[Image, Sidecar] | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="image-saver")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._tasks.put(None)
            self._thread.join()

    def submit(self, image: Image, about: Sidecar) -> None:
        """Hand an image over. `about` lacks size and checksum. Raises the error of an earlier image."""
        self._raise_error()
        self._tasks.put((image, about))

    def finish(self) -> None:
        """Wait until all images are committed; raises the error of the one that could not be."""
        self._tasks.put(None)
        self._thread.join()
        self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while task := self._tasks.get():
            if self._error is None:  # after an error the rest is only taken out, so that nobody blocks
                self._save(*task)

    def _save(self, image: Image, about: Sidecar) -> None:
        try:
            content = png.encode(image, about if self._embed_metadata else None)
            whole = msgspec.structs.replace(about, size_bytes=len(content), sha256=digest(content))
            self._store.commit(content, whole)
            self._on_saved(whole)
        except Exception as error:  # noqa: BLE001  handed to the thread that owns the job
            self._error = error
