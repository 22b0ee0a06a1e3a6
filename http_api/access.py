"""Who may do what: API keys with scopes, kept as hashes in a file of the operator.

Each line of the file is `name scopes sha256`, with scopes like `read,submit`; `admin` includes all. Blank
lines and lines that begin with `#` are skipped. `python -m http_api.access NAME SCOPES` makes a key.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import logging
import os
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from core import text_file
from core.errors import SettingsError
from core.hosts import is_loopback
from core.settings import Settings

logger = logging.getLogger(__name__)


class Scope(StrEnum):
    """What an operation asks for, and what a key may be given for."""

    #: Needs no key, and is given to none.
    OPEN = "open"
    #: Needs a key where keys are needed, whatever it is for; is given to none.
    ANY = "any"
    READ = "read"
    SUBMIT = "submit"
    #: Includes all others.
    ADMIN = "admin"


#: What the lines of the file may name.
SCOPES: Final = (Scope.READ, Scope.SUBMIT, Scope.ADMIN)
_LINE: Final = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,64})\s+(?P<scopes>[a-z,]+)\s+(?P<digest>[0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Key:
    """One line of the file."""

    name: str
    scopes: frozenset[str]
    digest: str

    def may(self, scope: Scope) -> bool:
        """Whether the key allows this."""
        return scope is Scope.ANY or scope in self.scopes or Scope.ADMIN in self.scopes


class KeyFile:
    """The keys of a file, read again whenever it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: tuple[Key, ...] = ()

    def check(self) -> None:
        """Raise SettingsError if the file cannot be used."""
        try:
            parse(text_file.read(self._path), self._path)
        except OSError as error:
            raise SettingsError(f"CYBERIMAGE_API_KEYS: {self._path} cannot be read: {error.strerror}.") from error
        except text_file.NotText as error:
            raise SettingsError(f"CYBERIMAGE_API_KEYS: {self._path} {error}.") from error

    def find(self, presented: str) -> Key | None:
        """The key that was presented; None if there is no such key. Takes the same time for every wrong one."""
        self._refresh()
        digest = digest_of(presented)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _refresh(self) -> None:
        """Take in a changed file; from one that cannot be read no key is valid, since some may be withdrawn."""
        try:
            status = os.stat(self._path)
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                self._keys = parse(text_file.read(self._path), self._path)
                self._stamp = stamp
        except (OSError, text_file.NotText, SettingsError) as error:
            if self._keys or self._stamp:
                logger.error("No API key is valid until the file of keys can be used: %s", error)
            self._keys, self._stamp = (), None


def parse(text: str, path: Path) -> tuple[Key, ...]:
    """The keys of a file's text; raises SettingsError naming the line."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    return tuple(_key(line, f"{path}:{number}") for number, line in lines if line and not line.startswith("#"))


def _key(line: str, where: str) -> Key:
    match = _LINE.fullmatch(line)
    scopes = frozenset(match["scopes"].split(",")) if match else frozenset()
    if not match or not scopes <= set(SCOPES):
        raise SettingsError(f"{where}: a line must be `name scopes sha256`, with scopes from {', '.join(SCOPES)}.")
    return Key(name=match["name"], scopes=scopes, digest=match["digest"])


def digest_of(key: str) -> str:
    """The hash that is kept of a key; keys are random and long, so one round is enough."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def check_exposure(settings: Settings) -> None:
    """Raise SettingsError if anybody on the network could use the API without having been let in on purpose."""
    if settings.api_keys is not None:
        KeyFile(settings.api_keys).check()
    elif not is_loopback(settings.host) and not settings.allow_open:
        raise SettingsError(
            f"CYBERIMAGE_HOST is {settings.host!r}, so others could submit and delete without a key. Set "
            "CYBERIMAGE_API_KEYS, or CYBERIMAGE_ALLOW_OPEN=on if the network is yours or a proxy checks."
        )


def main() -> None:
    """Make a key: print it, and the line for the file."""
    parser = argparse.ArgumentParser(prog="python -m http_api.access", description="Make an API key.")
    parser.add_argument("name", help="whose key it is")
    parser.add_argument("scopes", help=f"one or more of {', '.join(SCOPES)}, comma-separated")
    options = parser.parse_args()
    key = secrets.token_urlsafe(32)
    line = f"{options.name} {options.scopes} {digest_of(key)}"
    try:
        parse(line, Path("the new line"))
    except SettingsError as error:
        parser.error(str(error))
    print(f"The key, shown only now:\n{key}\n\nThe line for the file of CYBERIMAGE_API_KEYS:\n{line}")  # noqa: T201


if __name__ == "__main__":
    main()
