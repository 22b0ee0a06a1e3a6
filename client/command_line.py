"""`cyberimage`: runs a command and says by its exit code how it went."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from enum import IntEnum
from typing import NoReturn

from client import arguments


class Exit(IntEnum):
    """What the exit codes mean; `cyberimage --help` says the same."""

    DONE = 0
    JOB_FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REJECTED = 4
    UNREACHABLE = 5
    UNAVAILABLE = 6
    FILE = 7
    INTERRUPTED = 130


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = _parse(words)
    from client.errors import ClientError  # after --help and wrong use, which need not wait for httpx
    from client.output_files import FileExists, FolderMissing

    try:
        _run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _fail(args, Exit.INTERRUPTED, "Interrupted.")
    except BrokenPipeError:
        # Whoever read our output has seen enough. Nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FILE
    except (FileExists, FolderMissing) as error:
        return _fail(args, Exit.USAGE, str(error))
    except ClientError as error:
        return _fail(args, code_of(error), error.message)
    except OSError as error:
        return _fail(args, Exit.FILE, f"{error.filename or 'A file'}: {error.strerror or error}.")
    return Exit.DONE


def code_of(error: Exception) -> Exit:
    """The exit code for an error of the client."""
    from client import errors

    kinds: tuple[tuple[type[Exception], Exit], ...] = (
        (errors.InvalidAddress, Exit.USAGE),
        (errors.JobFailed, Exit.JOB_FAILED),
        (errors.NotFound, Exit.NOT_FOUND),
        (errors.RateLimited, Exit.UNAVAILABLE),
        (errors.ServerError, Exit.UNAVAILABLE),
        (errors.ServerUnreachable, Exit.UNREACHABLE),
        (errors.UnexpectedAnswer, Exit.UNREACHABLE),
    )
    return next((code for kind, code in kinds if isinstance(error, kind)), Exit.REJECTED)


def _parse(words: Sequence[str] | None) -> Namespace:
    parser = arguments.parser()
    args = parser.parse_args(words)
    if args.command == "generate" and args.size and (args.width or args.height):
        parser.error("give --size, or --width and --height, not both")
    if args.command == "generate" and args.num_images is not None and args.num_images < 1:
        parser.error(f"--images is {args.num_images}; it must be at least 1")
    return args


def _run(args: Namespace) -> None:
    from client.api_client import DEFAULT_URL, CyberImageClient
    from client.commands import COMMANDS

    url = args.url or os.environ.get("CYBERIMAGE_URL") or DEFAULT_URL
    with CyberImageClient(url, os.environ.get("CYBERIMAGE_API_KEY"), args.timeout) as client:
        COMMANDS[args.command](client, args)


def _fail(args: Namespace, code: Exit, message: str) -> int:
    from client import terminal

    if args.json:
        terminal.document({"status": "error", "message": message, "exit_code": int(code)})
    terminal.note(f"cyberimage: {message}")
    return code


def _exit() -> NoReturn:
    sys.exit(main())


if __name__ == "__main__":
    _exit()
