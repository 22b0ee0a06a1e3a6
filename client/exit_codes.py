"""What the exit codes of `cyberimage` mean, and which error gives which: everything about them is here."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """How a command went."""

    DONE = 0
    JOB_FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REJECTED = 4
    UNREACHABLE = 5
    UNAVAILABLE = 6
    FILE = 7
    FAULT = 70
    INTERRUPTED = 130


MEANINGS: Final = {
    Exit.DONE: "done",
    Exit.JOB_FAILED: "the job failed",
    Exit.USAGE: "wrong use; also: the file to write exists",
    Exit.NOT_FOUND: "no such job or image, or more than one",
    Exit.REJECTED: "the server rejected the request",
    Exit.UNREACHABLE: "the server cannot be reached, or is no CyberImage",
    Exit.UNAVAILABLE: "rate limit reached, or the server cannot serve now",
    Exit.FILE: "a file cannot be read or written",
    Exit.FAULT: "a fault of this program",
    Exit.INTERRUPTED: "interrupted",
}


class Ended(Exception):
    """A command that ends before its time, or with less than all: the code, a sentence, and what it has done so far."""

    def __init__(self, code: Exit, message: str, **done: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.done = done


def explained() -> str:
    """The table for the help."""
    return "\n".join(f"  {code.value:<4} {meaning}" for code, meaning in MEANINGS.items())


def sentence_of(error: Exception) -> tuple[Exit, str]:
    """The exit code and the sentence for any error of a command."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return Exit.FAULT, f"the Python package {error.name} is missing; run: pip install {error.name}"
    from client import errors  # after --help and wrong use, which need not wait for httpx and msgspec

    kinds: tuple[tuple[type[Exception], Exit], ...] = (
        (errors.InvalidSetup, Exit.USAGE),
        (errors.JobFailed, Exit.JOB_FAILED),
        (errors.NotFound, Exit.NOT_FOUND),
        (errors.RateLimited, Exit.UNAVAILABLE),
        (errors.ServerError, Exit.UNAVAILABLE),
        (errors.ServerUnreachable, Exit.UNREACHABLE),
        (errors.UnexpectedAnswer, Exit.UNREACHABLE),
        (errors.ClientError, Exit.REJECTED),
        (OSError, Exit.FILE),
    )
    if isinstance(error, Ended):
        return error.code, error.message
    code = next((code for kind, code in kinds if isinstance(error, kind)), Exit.FAULT)
    if isinstance(error, OSError):
        return code, f"{_name(error)}: {error.strerror or error}."
    if code is Exit.FAULT:
        told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return code, f"this is a fault of the program itself ({told}); CYBERIMAGE_DEBUG=1 shows where."
    if code is Exit.UNREACHABLE and isinstance(error, errors.ServerUnreachable):
        return code, f"{error} The server is named by --url, CYBERIMAGE_URL or cyberimage login."
    return code, str(error)


def _name(error: OSError) -> str:
    """The file that failed; what has no name is what the answer is written to."""
    return str(error.filename) if error.filename else "Standard output"
