"""`cyberimage`: runs a command and says by its exit code how it went."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

from client import words
from client.exit_codes import Ended, Exit, sentence_of

__all__ = ["Exit", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Nothing that goes wrong ends in a traceback."""
    from client import terminal  # for --help as well: it may hold what the encoding lacks

    terminal.prepare()
    args = Namespace(json=False)
    try:
        args = words.understood(sys.argv[1:] if arguments is None else arguments)
        _run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough. Nothing more can be written, not even at exit.
        terminal.mute(sys.stdout)
        return Exit.DONE
    except SystemExit:  # after --help, or a word about wrong use
        with terminal.reader_may_leave():
            sys.stdout.flush()
        raise
    except KeyboardInterrupt:
        return _fail(args, Exit.INTERRUPTED, "Interrupted.")
    except Exception as error:  # a fault of ours gets a sentence, too; the traceback is there on request
        if os.environ.get("CYBERIMAGE_DEBUG"):
            raise
        if isinstance(error, OSError) and error.filename is None:
            terminal.mute(sys.stdout)  # its disk is full: Python would stumble over it once more at its end
        code, message = sentence_of(error)
        return _fail(args, code, message, error.done if isinstance(error, Ended) else {})
    return Exit.DONE


def _run(args: Namespace) -> None:
    from client.api_client import DEFAULT_URL, CyberImageClient
    from client.commands import COMMANDS, LOCAL
    from client.remembered import read_login
    from client.transport import address

    if args.command in LOCAL:
        LOCAL[args.command](args)
        return
    url, key = args.url or os.environ.get("CYBERIMAGE_URL"), os.environ.get("CYBERIMAGE_API_KEY")
    login = None if url and key else read_login()
    url = address(url or (login.url if login else DEFAULT_URL))
    if login is not None and login.url == url:  # to no other server is the key of this one shown
        key = key or login.key
    with CyberImageClient(url, key, args.timeout) as client:
        COMMANDS[args.command](client, args)


def _fail(args: Namespace, code: Exit, message: str, done: Mapping[str, object] = MappingProxyType({})) -> int:
    from client import terminal

    try:
        if args.json:
            terminal.document({"status": "error", "message": message, "exit_code": int(code), **done})
            sys.stdout.flush()
    except OSError:
        terminal.mute(sys.stdout)
    terminal.note(f"cyberimage: {message}")
    return code


def _exit() -> NoReturn:
    sys.exit(main())


if __name__ == "__main__":
    _exit()
