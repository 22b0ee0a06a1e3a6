"""Text files that people write with whatever editor they have: the catalog, the file of API keys."""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: The marks with which other encodings begin; a zero byte early on is UTF-16 without one.
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


class NotText(ValueError):
    """The bytes are not UTF-8. The message follows the name of the file: what they are, and what to do."""


def read(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; raises OSError and NotText."""
    return decode(path.read_bytes())


def decode(raw: bytes) -> str:
    """The text of such a file's bytes; raises NotText."""
    if raw.startswith(_UTF_16) or b"\x00" in raw[:4]:
        raise NotText("is UTF-16 or UTF-32 text; save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise NotText(f"is not UTF-8: line {line} has the byte {raw[error.start]:#04x}; save it as UTF-8") from error
    if "\x00" in text:
        raise NotText(f"has a NUL character in line {text.count(chr(10), 0, text.index(chr(0))) + 1}; remove it")
    return text
