"""The real worker, noting every attempt of Python code in it to resolve a name or to connect (TEST_CONNECTS)."""

from __future__ import annotations

import os
import sys
from typing import Any

WATCHED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: cannot be removed, and sees what any library does."""
    if event in WATCHED:
        with open(os.environ["TEST_CONNECTS"], "a", encoding="utf-8") as stream:
            stream.write(f"{event} {arguments}\n")


if __name__ == "__main__":
    sys.addaudithook(note)
    from runner.worker import main

    main()
