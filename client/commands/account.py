"""`login` and `logout`: which server is asked, and with which key, where nothing else says so; `completion`."""

from __future__ import annotations

import getpass
import os
import sys
from argparse import Namespace
from typing import Final

from client import terminal
from client.api_client import DEFAULT_URL, CyberImageClient
from client.commands import answering
from client.errors import NotFound
from client.exit_codes import Ended, Exit
from client.remembered import Login, forget_login, login_file, write_login

#: Options and words that name files.
_FILES: Final = ("output", "prompts", "file")


def login(args: Namespace) -> None:
    """Ask for what was not said, try it, and keep it."""
    url = args.server or args.url or _asked_url()
    key = _asked_key()
    with CyberImageClient(url, key, args.timeout) as asked:
        asked.queue()  # raises where the server is none, or does not take the key
        scopes = _scopes(asked)
        kept = Login(asked.url, key)
    path = write_login(kept)
    answer = {"url": kept.url, "has_key": key is not None, "file": str(path), "scopes": scopes}
    allowed = f" (for {', '.join(scopes)})" if scopes else ""
    with_key = f"with your key{allowed}" if key else "without a key"
    answering.show(args, answer, lambda: terminal.line(f"{kept.url} is asked from now on, {with_key} ({path})."))


def logout(args: Namespace) -> None:
    """Forget the login."""
    was_there = forget_login()
    said = f"The login is forgotten ({login_file()})." if was_there else "There was no login."
    answering.show(args, {"forgotten": was_there}, lambda: terminal.line(said))


def completion(args: Namespace) -> None:
    """Print the script that lets a shell complete the commands and options."""
    try:
        import shtab
    except ImportError:
        raise Ended(Exit.USAGE, "This needs the Python package shtab: pip install shtab.") from None
    from client.arguments import commands_of, parser

    root = parser()
    for command in commands_of(root).values():
        for action in command._actions:
            if action.dest in _FILES:
                vars(action)["complete"] = shtab.FILE
    sys.stdout.write(shtab.complete(root, shell=args.shell) + "\n")


def _scopes(client: CyberImageClient) -> list[str]:
    """What the key may do; nothing where an older server does not tell."""
    try:
        return client.me().scopes
    except NotFound:
        return []


def _asked_url() -> str:
    known = os.environ.get("CYBERIMAGE_URL") or DEFAULT_URL
    if not _can_ask():
        return known
    sys.stderr.write(f"Address of the server [{terminal.printable(known)}]: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() or known


def _asked_key() -> str | None:
    """The key, never shown and never among the arguments, where other users of the machine could read it."""
    if _can_ask():
        return getpass.getpass("API key (empty where none is needed): ").strip() or None
    if sys.stdin is None:
        raise Ended(Exit.USAGE, "The key is read from standard input, which is closed.")
    return sys.stdin.readline().strip() or None


def _can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
