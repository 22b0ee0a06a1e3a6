"""Writing: lines of the answer on stdout, remarks on stderr, one JSON document on request; whatever the encoding."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import UnsupportedOperation
from typing import Any, TextIO


def prepare() -> None:
    """Make stdout and stderr take any text: what their encoding lacks is escaped, and closed ones swallow it."""
    sys.stdout = _prepared(sys.stdout)
    sys.stderr = _prepared(sys.stderr)


def _prepared(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed by whoever started us
        return open(os.devnull, "w", encoding="utf-8")
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream


def mute(stream: TextIO) -> None:
    """Let all that is still written to a stream vanish: whoever read it has gone, and Python flushes at its end."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, stream.fileno())
    except UnsupportedOperation:
        pass  # no file is behind it, so nobody can have left
    finally:
        os.close(devnull)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """For work that goes on although nobody reads its output any more."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        mute(sys.stdout)


def printable(text: object) -> str:
    """On one line and without control characters: a prompt must not steer the terminal."""
    return "".join(character if character.isprintable() else " " for character in str(text))


def encodable(text: str, stream: TextIO) -> str:
    """The text as the stream will write it, so that its width can be known."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def line(text: object = "") -> None:
    """A line of the answer, on stdout."""
    sys.stdout.write(f"{printable(text)}\n")


def lines(texts: Sequence[object]) -> None:
    """Several lines of the answer."""
    for text in texts:
        line(text)


def file_name(name: str) -> None:
    """The name of a file, as a line of the answer; nothing in it is replaced that a name may hold."""
    sys.stdout.write(f"{name}\n" if name.isprintable() or not sys.stdout.isatty() else f"{printable(name)}\n")


def note(text: object) -> None:
    """A remark that is no part of the answer, on stderr."""
    try:
        sys.stderr.write(f"{printable(text)}\n")
    except BrokenPipeError:
        mute(sys.stderr)


def document(value: Any, *, indent: int | None = 2) -> None:
    """The answer as one JSON document, on stdout; `indent` None: on one line."""
    import msgspec  # not needed for --help

    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    is_utf8 = encoding.lower().replace("-", "").replace("_", "") == "utf8"
    built = msgspec.to_builtins(value)
    text = json.dumps(built, indent=indent, ensure_ascii=not is_utf8 or not _is_text(built))
    sys.stdout.write(f"{text}\n")


def _is_text(value: Any) -> bool:
    """Whether all strings can be UTF-8; names of files need not."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def fields(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values, one on each line; what is None is left out."""
    shown = [(name, value) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        line(f"{name.ljust(width)}  {value}")


def size_of(stream: TextIO) -> os.terminal_size:
    """Columns and lines of the terminal behind a stream; COLUMNS and LINES are believed more."""
    try:
        found = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):  # no terminal, or not even a file
        found = os.terminal_size((0, 0))
    columns, lines = _number("COLUMNS") or found.columns, _number("LINES") or found.lines
    return os.terminal_size((columns or 80, lines or 24))


def _number(name: str) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isascii() and value.isdigit() else 0


def has_styles(stream: TextIO) -> bool:
    """Whether bold and colours may be written."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")
