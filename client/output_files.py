"""Where pictures go: names that say which is which, written whole or not at all, never over another file."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile


class FileExists(Exception):
    """A file of that name is there already."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists already; choose another name, or add --force to replace it.")


class FolderMissing(Exception):
    """The folder for the pictures is not there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"The folder {folder} does not exist; make it first, or choose another -o.")


@dataclass(frozen=True, kw_only=True)
class Output:
    """What `-o` and `--force` say. `target` is a file, a folder, or None for the folder at hand."""

    target: Path | None
    force: bool

    def check(self, count: int) -> None:
        """Refuse before any work is done what would be refused after it; raises FileExists and FolderMissing."""
        folder = self._folder()
        if not folder.is_dir():
            raise FolderMissing(folder)
        if self.target is not None and not self._is_folder():
            for number in range(1, count + 1):
                self._refuse_taken(self.path("", number, count))

    def path(self, image_id: str, number: int, count: int) -> Path:
        """The file for image `number` of `count`: the given name, with the number if there are several."""
        if self.target is None or self._is_folder():
            return self._folder() / f"{image_id}.png"
        if count == 1:
            return self.target
        return self.target.with_name(f"{self.target.stem}-{number}{self.target.suffix}")

    def write(self, path: Path, content: bytes) -> None:
        """Put `content` at `path` at once; raises FileExists, and OSError from the disk."""
        self._refuse_taken(path)
        with NamedTemporaryFile(dir=path.parent, prefix=".cyberimage-", delete=False) as draft:
            try:
                draft.write(content)
                draft.flush()
                os.fsync(draft.fileno())
                os.fchmod(draft.fileno(), 0o666 & ~_umask())
                self._publish(Path(draft.name), path)
            finally:
                with suppress(FileNotFoundError):  # renamed
                    os.unlink(draft.name)

    def _publish(self, draft: Path, path: Path) -> None:
        if self.force:
            os.replace(draft, path)
            return
        try:
            os.link(draft, path)
        except FileExistsError as error:
            raise FileExists(path) from error

    def _refuse_taken(self, path: Path) -> None:
        if not self.force and os.path.lexists(path):
            raise FileExists(path)

    def _is_folder(self) -> bool:
        return self.target is not None and self.target.is_dir()

    def _folder(self) -> Path:
        if self.target is None:
            return Path()
        return self.target if self._is_folder() else self.target.parent


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
