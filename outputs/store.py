"""The image store: PNG files and sidecars by image id, committed whole, found by path."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from core import files, locks, rights
from core.failpoints import failpoint
from core.layout import Layout
from jobs import ids
from jobs.schema import encode
from outputs.damage import DamageMarks, Fingerprint, look_at
from outputs.errors import DamagedImage, ImageNotFound
from outputs.sidecar import Sidecar
from outputs.verified import VerifiedFiles

logger = logging.getLogger(__name__)

#: Files that may lie beside an image and go with it.
COMPANIONS: Final = (".webp",)


_decode_sidecar: Final = msgspec.json.Decoder(Sidecar).decode


class Observer(Protocol):
    """Told of every change after it is durable; the derived index listens here. Must not raise."""

    def image_added(self, sidecar: Sidecar) -> None:
        """This image is committed."""

    def image_changed(self, image_id: str) -> None:
        """What people say of this image has changed."""

    def image_removed(self, image_id: str) -> None:
        """This image is gone."""


class ImageStore:
    """The images of one data directory."""

    def __init__(self, layout: Layout, observer: Observer | None = None) -> None:
        self.layout = layout
        self.damage = DamageMarks(layout.damaged, layout.temporary)
        self._verified = VerifiedFiles()
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
        with locks.locked_folder(path.parent):
            files.replace(path.with_suffix(".json"), encode(sidecar), self.layout.temporary, name="sidecar")
        self.damage.remove(sidecar.id)
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
            found = _decode_sidecar(self.sidecar_bytes(image_id))
        except FileNotFoundError as error:
            raise ImageNotFound(image_id) from error
        except (msgspec.DecodeError, ValueError) as error:
            raise self._damaged(image_id, f"its sidecar cannot be read ({error})") from error
        if found.id != image_id:
            raise self._damaged(image_id, f"its sidecar is that of {found.id[:80]!r}")
        return found

    def sidecar_bytes(self, image_id: str) -> bytes:
        """The sidecar's content; raises ImageNotFound, FileNotFoundError, ValueError (not a plain file)."""
        # A plain string: every image that is shown or indexed comes here, and Path costs more than the read.
        return files.read(self.layout.image(f"{self.file_path(image_id)[:-4]}.json"))

    def open(self, image_id: str) -> tuple[BufferedReader, Sidecar]:
        """The PNG, opened for reading, and its sidecar.

        A reader that has it open gets all its bytes even if the image is deleted meanwhile. A process that opens a
        file for the first time, or after a change, reads it whole and compares it with its checksum: milliseconds.
        Raises ImageNotFound, DamagedImage, OSError.
        """
        stream, sidecar = self._open(image_id)
        try:
            is_marked = self.damage.has(image_id)
            if is_marked or not self._verified.holds(image_id, stream, sidecar.sha256):
                self._compare(image_id, stream, sidecar)
            if is_marked:
                self._is_whole_again(sidecar)
        except BaseException:
            stream.close()
            raise
        return stream, sidecar

    def check(self, image_id: str) -> int:
        """Compare an image with its checksum as the disk has it now; returns how many bytes were read.

        Notes whether it is damaged. Raises ImageNotFound, DamagedImage, OSError.
        """
        try:
            stream, sidecar = self._open(image_id)
            with stream:
                # Out of the page cache, which may be better than the disk; and not into it, which others need.
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                self._compare(image_id, stream, sidecar)
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        except ImageNotFound:
            self.damage.remove(image_id)
            raise
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise self._damaged(image_id, f"it cannot be read ({error.strerror})") from error
        if self.damage.has(image_id):
            self._is_whole_again(sidecar)
        return sidecar.size_bytes

    def check_damaged(self, limit: int = 100) -> None:
        """Look again at images that were found damaged and have changed since, at most `limit`. Raises OSError."""
        for image_id in filter(self._is_possible, self.damage.ids()):
            mark = self.damage.read(image_id)
            if mark is not None and mark.seen == self._look_at(image_id):
                continue
            with suppress(ImageNotFound, DamagedImage):
                self.check(image_id)
            limit -= 1
            if not limit:
                return

    def _open(self, image_id: str) -> tuple[BufferedReader, Sidecar]:
        """The PNG, opened for reading, and its sidecar; its bytes have not been looked at."""
        sidecar = self.sidecar(image_id)
        try:
            return self.path(image_id).open("rb"), sidecar
        except FileNotFoundError as error:
            raise self._missing_png(sidecar) from error

    def _compare(self, image_id: str, stream: BufferedReader, sidecar: Sidecar) -> None:
        """Raise DamagedImage unless these are the bytes that were committed."""
        size = os.fstat(stream.fileno()).st_size
        if size != sidecar.size_bytes:
            raise self._damaged(image_id, f"it has {size} bytes, not {sidecar.size_bytes}", sidecar)
        if not self._verified.has_checksum(image_id, stream, sidecar.sha256):
            raise self._damaged(image_id, "its bytes are not those that were stored", sidecar)

    def _damaged(self, image_id: str, reason: str, sidecar: Sidecar | None = None) -> DamagedImage:
        """Note the damage; returns the error to raise. `sidecar` is given where that is whole."""
        error = DamagedImage(image_id, reason)
        if self.damage.put(image_id, reason, self._look_at(image_id)):
            logger.error("%s", error)
            if sidecar is not None and self._observer is not None:
                self._observer.image_added(sidecar)  # perhaps it was not, and the image not listed
        return error

    def _is_whole_again(self, sidecar: Sidecar) -> None:
        self.damage.remove(sidecar.id)
        logger.info("An image that was damaged is whole again.", extra={"image_id": sidecar.id})
        if self._observer is not None:
            self._observer.image_added(sidecar)

    def _look_at(self, image_id: str) -> tuple[Fingerprint, ...]:
        return look_at((self.path(image_id), self.sidecar_path(image_id)))

    def annotate(self, image_id: str, **said: Any) -> Sidecar:
        """Change what people say of an image (`favourite`, `labels`), durably; returns its sidecar.

        Whatever else the sidecar holds stays as it is, also what a newer program wrote. All who write or remove
        sidecars of a folder do so one after the other, so no two changes undo each other, and none brings a deleted
        image back.
        Raises ImageNotFound, DamagedImage, OSError.
        """
        path = self.sidecar_path(image_id)
        try:
            with locks.locked_folder(path.parent):
                before = self.sidecar(image_id)
                after = msgspec.structs.replace(before, **said)
                if after != before:
                    document = msgspec.json.decode(files.read(path), type=dict[str, msgspec.Raw])
                    document |= {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in said.items()}
                    content = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
                    files.replace(path, content, self.layout.temporary, name="annotate")
        except FileNotFoundError as error:
            if self.layout.temporary.exists():  # there is no folder of this day
                raise ImageNotFound(image_id) from error
            raise
        if after != before and self._observer is not None:
            self._observer.image_changed(image_id)
        return after

    def delete(self, image_id: str) -> None:
        """Remove an image with all its bytes; raises ImageNotFound, OSError.

        One rename takes the sidecar into a small folder: the image is gone at once, and what is left to do is on
        record, for `finish_deletions`, should this process be killed or the disk refuse. A rename needs no space, so
        it works on a full disk.
        """
        sidecar = self.sidecar_path(image_id)
        try:
            with locks.locked_folder(sidecar.parent):
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
        self.damage.remove(image_id)
        self.layout.deletion(image_id).unlink(missing_ok=True)  # not synced: it would be removed again
        failpoint("delete.record")
        if self._observer is not None:
            self._observer.image_removed(image_id)

    def _missing_png(self, sidecar: Sidecar) -> ImageNotFound | DamagedImage:
        if self.sidecar_path(sidecar.id).exists():
            return self._damaged(sidecar.id, "the PNG is missing", sidecar)
        return ImageNotFound(sidecar.id)  # deleted between two looks

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        for directory in reversed([folder, *folder.parents[:2]]):
            rights.make_folder(directory)
            files.sync_directory(directory.parent)


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
