"""The image store: PNG files and sidecars by image id, committed whole, found by path."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import msgspec

from core import files
from core.failpoints import failpoint
from core.layout import Layout
from jobs import ids
from jobs.schema import Job, encode
from outputs.errors import DamagedImage, ImageNotFound
from outputs.sidecar import Sidecar

#: Files that may lie beside an image and go with it.
COMPANIONS: Final = (".webp",)


_decode_sidecar: Final = msgspec.json.Decoder(Sidecar).decode


class Observer(Protocol):
    """Told of every change after it is durable; the derived index listens here. Must not raise."""

    def image_added(self, sidecar: Sidecar) -> None:
        """This image is committed."""

    def image_removed(self, image_id: str) -> None:
        """This image is gone."""


class ImageStore:
    """The images of one data directory."""

    def __init__(self, layout: Layout, observer: Observer | None = None) -> None:
        self.layout = layout
        self._observer = observer

    def file_path(self, image_id: str) -> str:
        """The path of the PNG relative to the outputs, `YYYY/MM/DD/<image_id>.png`; raises ImageNotFound."""
        if not ids.is_image_id(image_id):
            raise ImageNotFound(image_id)
        try:
            return f"{ids.image_folder(image_id)}/{image_id}.png"
        except (ValueError, OverflowError, OSError) as error:  # a date that no calendar has
            raise ImageNotFound(image_id) from error

    def path(self, image_id: str) -> Path:
        """The PNG file of an image."""
        return Path(self.layout.image(self.file_path(image_id)))

    def sidecar_path(self, image_id: str) -> Path:
        """The sidecar of an image."""
        return self.path(image_id).with_suffix(".json")

    def commit(self, png: bytes, sidecar: Sidecar) -> None:
        """Store an image durably: the PNG first, then the sidecar that makes it exist. Raises OSError."""
        path = self.path(sidecar.id)
        self._make_folder(path.parent)
        files.replace(path, png, self.layout.temporary, name="image")
        files.replace(path.with_suffix(".json"), encode(sidecar), self.layout.temporary, name="sidecar")
        if self._observer is not None:
            self._observer.image_added(sidecar)

    def is_committed(self, image_id: str) -> bool:
        """Whether the image exists and its bytes are those that were committed."""
        try:
            sidecar = self.sidecar(image_id)
            png = files.read(self.path(image_id))
        except (ImageNotFound, DamagedImage, FileNotFoundError):
            return False
        return len(png) == sidecar.size_bytes and digest(png) == sidecar.sha256

    def sidecar(self, image_id: str) -> Sidecar:
        """The sidecar of an image; raises ImageNotFound, DamagedImage."""
        try:
            return _decode_sidecar(self.sidecar_bytes(image_id))
        except FileNotFoundError as error:
            raise ImageNotFound(image_id) from error
        except (msgspec.DecodeError, ValueError) as error:
            raise DamagedImage(image_id, f"its sidecar cannot be read ({error})") from error

    def sidecar_bytes(self, image_id: str) -> bytes:
        """The sidecar's content; raises ImageNotFound, FileNotFoundError, ValueError (not a plain file)."""
        # A plain string: every image that is shown or indexed comes here, and Path costs more than the read.
        return files.read(self.layout.image(f"{self.file_path(image_id)[:-4]}.json"))

    def images_of(self, job: Job) -> Iterator[Sidecar]:
        """The committed images of a job, in order of their number."""
        for number in range(1, job.effective_settings.num_images + 1):
            try:
                yield self.sidecar(ids.image_id(job.order, number))
            except ImageNotFound:
                continue

    def open(self, image_id: str) -> tuple[BinaryIO, Sidecar]:
        """The PNG, opened for reading, and its sidecar.

        A reader that has it open gets all its bytes even if the image is deleted meanwhile. Raises
        ImageNotFound, and DamagedImage where the file's size is not the committed one.
        """
        sidecar = self.sidecar(image_id)
        try:
            stream = self.path(image_id).open("rb")
        except FileNotFoundError as error:
            raise self._missing_png(image_id) from error
        size = os.fstat(stream.fileno()).st_size
        if size != sidecar.size_bytes:
            stream.close()
            raise DamagedImage(image_id, f"it has {size} bytes, not {sidecar.size_bytes}")
        return stream, sidecar

    def delete(self, image_id: str) -> None:
        """Remove an image with all its bytes; raises ImageNotFound, OSError.

        One rename takes the sidecar into a small folder: the image is gone at once, and what is left to do is on
        record, for `finish_deletions`, should this process be killed or the disk refuse. A rename needs no space, so
        it works on a full disk.
        """
        sidecar = self.sidecar_path(image_id)
        try:
            files.move(sidecar, self.layout.deletion(image_id), name="delete")
        except FileNotFoundError as error:
            if sidecar.exists():  # it is the small folder that is missing
                raise
            raise ImageNotFound(image_id) from error
        self._remove_bytes(image_id)

    def finish_deletions(self) -> int:
        """Finish the deletions that were begun, perhaps by a process that was killed; returns how many. Raises OSError.

        Safe at any time. One that another process is about to finish is finished twice, which does no harm.
        """
        begun = [name.removesuffix(".json") for name in os.listdir(self.layout.deleting)]
        for image_id in filter(self._is_possible, begun):
            if self.sidecar_path(image_id).exists():  # restored by hand since
                self.layout.deletion(image_id).unlink(missing_ok=True)
            else:
                self._remove_bytes(image_id)
        return len(begun)

    def _is_possible(self, image_id: str) -> bool:
        """Whether an image may have this id."""
        try:
            self.file_path(image_id)
        except ImageNotFound:
            return False
        return True

    def _remove_bytes(self, image_id: str) -> None:
        """All that is left of an image whose sidecar is gone; the record of its deletion goes last."""
        path = self.path(image_id)
        for suffix in (".png", *COMPANIONS):
            files.unlink(path.with_suffix(suffix))
        failpoint("delete.image")
        self.layout.deletion(image_id).unlink(missing_ok=True)  # not synced: it would be removed again
        failpoint("delete.record")
        if self._observer is not None:
            self._observer.image_removed(image_id)

    def _missing_png(self, image_id: str) -> ImageNotFound | DamagedImage:
        if self.sidecar_path(image_id).exists():
            return DamagedImage(image_id, "the PNG is missing")
        return ImageNotFound(image_id)  # deleted between two looks

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        for directory in reversed([folder, *folder.parents[:2]]):
            directory.mkdir(mode=files.DIRECTORY_MODE, exist_ok=True, parents=True)
            files.sync_directory(directory.parent)


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
