"""What the text of a setting may be: one parser for each kind, which raises ValueError saying what would be right.

Sentences follow "it", as in "it must be on or off". Container engines keep the quotes and blanks of env files, and
nothing expands variables in them: each is refused by name, since a path or a name would swallow it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from core import hosts

#: Digits beyond which no number here makes sense, and Python refuses to convert.
_MOST_DIGITS: Final = 20
#: What Linux takes, in bytes.
_LONGEST_NAME: Final = 255
_LONGEST_PATH: Final = 4095
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII | re.IGNORECASE)
_LONGEST_HOST: Final = 253
_UNEXPANDED: Final = re.compile(r"\$(\{|[A-Za-z_])")


class Unshowable(ValueError):
    """As ValueError, where the value may hold a secret and must not be shown."""


def check_text(value: str) -> None:
    """Refuse what no setting is: quotes and blanks that were kept around it, characters that are no text."""
    if any(not character.isprintable() for character in value):
        # Also half of a surrogate pair, which stands for a byte that is not UTF-8.
        raise ValueError("must be UTF-8 text without control characters")
    if value[:1] in ("'", '"') or value[-1:] in ("'", '"'):
        raise ValueError("must be without quotes (env files of containers keep them)")


def text(value: str) -> str:
    """A text on one line, as it is."""
    if value != value.strip():
        raise ValueError("must be without blanks around it")
    if _UNEXPANDED.search(value):
        raise ValueError("must be written out: variables are not expanded here")
    return value


def secret(value: str) -> str:
    """A key that goes into an HTTP header; never shown."""
    if not re.fullmatch(r"[!-~]*", value, re.ASCII):
        raise Unshowable("must be visible ASCII characters without blanks")
    return value


def path(value: str) -> Path:
    """A file or folder, perhaps not there yet."""
    if not value.strip():
        raise ValueError("must be a path; leave the variable out for the default")
    text(value)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:(//|$)", value):
        raise ValueError("must be a path on this machine, not a URL")
    if len(value.encode()) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in value.split("/")):
        raise ValueError(f"must be a path of at most {_LONGEST_PATH} bytes, and {_LONGEST_NAME} between two slashes")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError("must not begin with ~ and a name that is no user here") from error


def optional_path(value: str) -> Path | None:
    """A path, or empty for none."""
    return path(value) if value else None


def host(value: str) -> str:
    """A host name or an IP address, without a port; IPv6 with or without brackets."""
    inner = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if not _is_host(inner) or (inner != value and ":" not in inner):
        raise ValueError("must be an IP address or a host name, without a port, as 127.0.0.1, ::1 or pictures.example")
    return hosts.split(value)[0] if inner != value else value


def host_list(value: str) -> tuple[str, ...]:
    """Host names or addresses, each perhaps with a port, comma-separated; empty for none."""
    names = tuple(name.strip() for name in value.split(",")) if value else ()
    if not all(_is_host_and_port(name) for name in names):
        raise ValueError("must be host names or IP addresses, comma-separated, as pictures.example,10.0.0.7,[::1]:8080")
    return names


def origins(value: str) -> tuple[str, ...]:
    """Origins of web pages (scheme, host, perhaps a port), comma-separated, as browsers write them; empty for none."""
    found = tuple(origin.strip().lower() for origin in value.split(",")) if value else ()
    if not all(_is_origin(origin) for origin in found):
        raise ValueError(
            "must be origins without a path, comma-separated, as https://chat.example,http://localhost:3000"
        )
    return found


def _is_origin(value: str) -> bool:
    scheme, _, place = value.partition("://")
    # A browser leaves the scheme's usual port out, so one that is written would never be met.
    usual = {"http": ":80", "https": ":443"}.get(scheme)
    return usual is not None and _is_host_and_port(place) and not place.endswith(usual)


def _is_host_and_port(value: str) -> bool:
    match = re.fullmatch(r"(\[[^\[\]]+\]|[^\[\]:]+):([0-9]{1,5})", value, re.ASCII)
    if match and not 1 <= int(match[2]) <= 65535:
        return False
    name = match[1] if match else value
    has_brackets = name.startswith("[") and name.endswith("]")
    return _is_host(name[1:-1]) and ":" in name[1:-1] if has_brackets else _is_host(name)


def _is_host(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        labels = value.removesuffix(".").split(".")
        # A last part of digits alone is an address that was mistyped.
        return len(value) <= _LONGEST_HOST and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()
    return True


def base_url(value: str) -> str:
    """An http or https URL of a server: host, perhaps a port and a path; empty for none."""
    if not value:
        return value
    try:
        parts = urlsplit(value)
        is_usable = parts.scheme in ("http", "https") and _is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        is_usable = False
    hides_something = "@" in value or "?" in value or "#" in value
    if hides_something:  # a password or a key, most likely
        raise Unshowable("must hold only host, port and path; a key belongs in OPENAI_API_KEY")
    if not is_usable or any(character.isspace() for character in value):
        raise ValueError("must be an http or https URL such as http://127.0.0.1:11434/v1")
    return value


def boolean(value: str) -> bool:
    """on or off."""
    words = {"on": True, "1": True, "true": True, "yes": True, "off": False, "0": False, "false": False, "no": False}
    if value.strip().lower() not in words:
        raise ValueError("must be on or off")
    return words[value.strip().lower()]


def integer(minimum: int, maximum: int) -> Callable[[str], int]:
    """An integer of plain digits."""

    def parse(value: str) -> int:
        digits = value.strip()
        is_number = digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS
        if not is_number or not minimum <= int(digits) <= maximum:
            raise ValueError(f"must be an integer from {minimum} to {maximum}")
        return int(digits)

    return parse


def seconds(minimum: float) -> Callable[[str], float]:
    """A number of seconds, perhaps with a fraction."""

    def parse(value: str) -> float:
        digits = value.strip()
        if not re.fullmatch(r"\d+(\.\d+)?", digits, re.ASCII) or not minimum <= float(digits) < math.inf:
            raise ValueError(f"must be a number of seconds, at least {minimum:g}")
        return float(digits)

    return parse


def delays(value: str) -> tuple[float, ...]:
    """Numbers of seconds, comma-separated."""
    parse = seconds(0)
    try:
        return tuple(parse(part) for part in value.split(","))
    except ValueError as error:
        raise ValueError("must be numbers of seconds, each at least 0, comma-separated, like 0,30,120") from error


def choice(*options: str) -> Callable[[str], str]:
    """One of some words."""

    def parse(value: str) -> str:
        if value.strip().lower() not in options:
            raise ValueError(f"must be one of {', '.join(options)}")
        return value.strip().lower()

    return parse


def device_key(device: str) -> str:
    """One name for each device that a setting can name, as it stands in file names: `cuda` is `cuda:0`.

    `auto` stays `auto`: only a worker finds out which device that is.
    """
    return "cuda:0" if device == "cuda" else device


def devices(value: str) -> tuple[str, ...]:
    """What torch calls a device, or several, comma-separated; or `auto`."""
    names = tuple(name.strip() for name in value.lower().split(","))
    if not all(re.fullmatch(r"auto|cpu|cuda(:(0|[1-9]\d{0,2}))?", name, re.ASCII) for name in names):
        raise ValueError("must be auto, cpu, cuda or cuda:N (as cuda:0), or several devices (as cuda:0,cuda:1)")
    if len({device_key(name) for name in names}) < len(names):
        raise ValueError("must name each device once, since each has one worker")
    if "auto" in names and len(names) > 1:
        raise ValueError("must name each device where there are several, since auto may be any of them")
    return names
