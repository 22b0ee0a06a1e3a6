"""What the command line remembers between two calls: the login, and the last job that it submitted to each server."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from client.errors import InvalidSetup

_FOLDER: Final = "cyberimage"
#: Servers whose last job is kept.
_MOST_SERVERS: Final = 20


class Login(msgspec.Struct, frozen=True):
    """A server and the key for it."""

    url: str
    key: str | None = None


def login_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the login is kept."""
    return _base(environment, "XDG_CONFIG_HOME", ".config") / _FOLDER / "login.json"


def read_login() -> Login | None:
    """The login, if there is one; raises InvalidSetup for a file that is none or that others may read."""
    path = login_file()
    try:
        content = path.read_bytes()
        mode = stat.S_IMODE(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if mode & 0o077:
        raise InvalidSetup(f"{path} holds your key and is open to others (mode {mode:04o}); run: chmod 600 {path}")
    try:
        return msgspec.json.decode(content, type=Login)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidSetup(f"{path} is damaged ({error}); log in again: cyberimage login") from error


def write_login(login: Login) -> Path:
    """Keep a login, readable for its owner alone; returns where. Raises OSError."""
    path = login_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(path, msgspec.json.encode(login))
    return path


def forget_login() -> bool:
    """Remove the login; False if there was none."""
    try:
        login_file().unlink()
    except FileNotFoundError:
        return False
    return True


def remember_job(url: str, job_id: str) -> None:
    """Keep the id of a job for `@last`."""
    path = _last_file()
    known = _last_jobs()
    known.pop(url, None)
    kept = dict([*known.items(), (url, job_id)][-_MOST_SERVERS:])
    # Without a home that can be written all works but `@last`, which says so when it is asked for.
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(path, msgspec.json.encode(kept))


def last_job(url: str) -> str | None:
    """The job that was last submitted to this server from here."""
    return _last_jobs().get(url)


def _last_file() -> Path:
    return _base(os.environ, "XDG_STATE_HOME", ".local/state") / _FOLDER / "last-jobs.json"


def _last_jobs() -> dict[str, str]:
    try:
        return msgspec.json.decode(_last_file().read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}  # disposable: the next job begins it anew


def _base(environment: Mapping[str, str], name: str, default: str) -> Path:
    """A folder of the XDG base directory specification, which says that relative ones are to be ignored."""
    given = environment.get(name, "")
    return Path(given) if Path(given).is_absolute() else Path("~").expanduser() / default


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(content)
        os.replace(draft, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(draft)
