"""Where pictures go: names that say which is which, written whole or not at all, never over another file."""

from __future__ import annotations

import errno
import os
import secrets
import string
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from client.exit_codes import Ended, Exit
from client.picture_formats import FORMATS, converted

#: What a pattern may hold.
FIELDS: Final = ("n", "seed", "id", "prompt")
_LONGEST_PROMPT: Final = 60
#: Stands for standard output.
_STDOUT: Final = "-"


class FileExists(Ended):
    """A file of that name is there already."""

    def __init__(self, path: Path) -> None:
        super().__init__(Exit.USAGE, f"{path} exists already; choose another name, or add --force to replace it.")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a name may tell of a picture: the `n`-th of `count` of this command. What is None is not known yet."""

    n: int
    count: int
    id: str | None = None
    seed: int | None = None
    prompt: str | None = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """What `-o` and `--force` say. `target` is a file, a folder, a pattern, `-`, or None for the folder at hand.

    Raises Ended for a target that can be none, before any work is done.
    """

    target: str | None
    force: bool

    def __post_init__(self) -> None:
        if self.is_stdout or self._is_folder():
            return
        try:
            fields = [name for _, name, _, _ in string.Formatter().parse(self._text) if name is not None]
            unknown = [name for name in fields if name not in FIELDS]
            if not unknown:
                self._text.format(n=1, seed=1, id="", prompt="")
        except ValueError as error:
            raise _wrong(f"The pattern {self._text!r} cannot be read: {error}.") from None
        if unknown:
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise _wrong(f"-o has {{{unknown[0]}}}, which is not known; there are {known}.")
        ending = Path(self._text).suffix.lower()
        if ending not in FORMATS:
            raise _wrong(
                f"-o {self._text} ends with no format for pictures; write it with {', '.join(FORMATS)} for a file, "
                "or with / at its end for a folder."
            )

    @property
    def tells_more(self) -> bool:
        """Whether names tell more of a picture than its id and number."""
        return not self.is_stdout and bool({"seed", "prompt"} & set(_fields(self._text)))

    @property
    def is_stdout(self) -> bool:
        """Whether the picture goes to standard output."""
        return self.target == _STDOUT

    def check(self, expected: Sequence[Picture]) -> None:
        """Refuse before any work is done what would be refused after it; makes the folders that are to be made."""
        if self.is_stdout:
            if len(expected) > 1:
                raise _wrong("-o - takes one picture; for several name a folder or a pattern, as -o house-{n}.png.")
            if sys.stdout.isatty():
                raise _wrong("-o - would write a picture into the terminal; send the output to a file or a program.")
            return
        for picture in expected or [Picture(n=1, count=1)]:
            self._check_folder(self._folder_of(picture))
            if (path := self.path(picture)) is not None:
                self._refuse_taken(path)

    def path(self, picture: Picture) -> Path | None:
        """The file for a picture; None while something that its name tells is not known."""
        text = self._text
        values = {"n": picture.n, "seed": picture.seed, "id": picture.id, "prompt": _slug(picture.prompt)}
        if any(values[name] is None for name in _fields(text)):
            return None
        path = Path(text.format(**values) if self._is_pattern() else text)
        if picture.count == 1 or {"n", "id"} & set(_fields(text)):
            return path
        return path.with_name(f"{path.stem}-{picture.n}{path.suffix}")

    def save(self, picture: Picture, png: bytes) -> str:
        """Put a picture where it belongs, in the format of its name; returns the name.

        Raises FileExists, Ended for a picture that cannot be converted, and OSError from the disk.
        """
        if self.is_stdout:
            sys.stdout.buffer.write(png)
            sys.stdout.buffer.flush()
            return _STDOUT
        path = self.path(picture)
        if path is None:
            raise ValueError(f"The name of {picture} needs what is not known.")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write(path, converted(png, path.suffix.lower()))
        return str(path)

    def _write(self, path: Path, content: bytes) -> None:
        self._refuse_taken(path)
        draft = path.with_name(f".cyberimage-{secrets.token_hex(8)}")
        try:
            with open(draft, "xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            self._publish(draft, path)
        except OSError as error:
            error.filename, error.filename2 = str(path), None  # a full disk does not say which file it was
            raise
        finally:
            with suppress(FileNotFoundError):  # renamed
                os.unlink(draft)

    def _publish(self, draft: Path, path: Path) -> None:
        if not self.force:
            # An empty file keeps the name from others. A hard link would need no such, but not every disk has them.
            try:
                open(path, "xb").close()
            except FileExistsError as error:
                raise FileExists(path) from error
        try:
            os.replace(draft, path)
        except BaseException:
            if not self.force:
                os.unlink(path)
            raise

    def _refuse_taken(self, path: Path) -> None:
        if not os.path.lexists(path):
            return
        if path.is_dir() or (path.exists() and not path.is_file()):
            raise _wrong(f"{path} is no ordinary file; name another one, or write to standard output with -o -.")
        if not self.force:
            raise FileExists(path)

    def _check_folder(self, folder: Path | None) -> None:
        if folder is None:
            return
        try:
            if self._makes_folders():
                folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise _wrong(f"{folder} is a file; no folder can be made there.") from None
        if not folder.is_dir():
            raise _wrong(f"The folder {folder} does not exist; make it first, or choose another -o.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    def _folder_of(self, picture: Picture) -> Path | None:
        """The folder of a picture; None while its name is not known."""
        folder = str(Path(self._text).parent)
        if not self._is_pattern() or not _fields(folder):
            return Path(folder)
        path = self.path(picture)
        return None if path is None else path.parent

    @property
    def _text(self) -> str:
        """The target as a name or pattern."""
        target = self.target or ""
        if not self._is_folder():
            return target
        return os.path.join(target.replace("{", "{{").replace("}", "}}"), "{id}.png")

    def _is_folder(self) -> bool:
        target = self.target
        return not target or target.endswith(("/", os.sep)) or Path(target).is_dir()

    def _makes_folders(self) -> bool:
        return self._is_folder() or self._is_pattern()

    def _is_pattern(self) -> bool:
        return "{" in self._text


def _fields(text: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(text) if name] if "{" in text else []


def _slug(prompt: str | None) -> str | None:
    """The beginning of a prompt as a part of a file name: letters, digits and `-`."""
    if prompt is None:
        return None
    words = "".join(character if character.isalnum() else " " for character in prompt).split()
    slug = "-".join(words)
    while len(slug) > _LONGEST_PROMPT or len(slug.encode()) > _LONGEST_PROMPT * 2:
        slug = slug.rpartition("-")[0] or slug[:-1]
    return slug or "picture"


def _wrong(message: str) -> Ended:
    return Ended(Exit.USAGE, message)
