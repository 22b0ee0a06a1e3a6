"""The commands: each asks the server and shows what it answers."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Final

from client.api_client import CyberImageClient
from client.commands import account, images, jobs, making, server, watching

Command = Callable[[CyberImageClient, Namespace], None]

COMMANDS: Final[dict[str, Command]] = {
    "generate": making.generate,
    "submit": making.submit,
    "enrich": making.enrich,
    "wait": making.wait,
    "retry": making.retry,
    "jobs": jobs.jobs,
    "show": jobs.show,
    "cancel": jobs.cancel,
    "move": jobs.move,
    "gallery": images.gallery,
    "download": images.download,
    "delete": images.delete,
    "favourite": images.favourite,
    "label": images.label,
    "models": server.models,
    "queue": server.queue,
    "watch": watching.watch,
    "pause": server.pause,
    "resume": server.resume,
    "reset-queue": server.reset_queue,
    "mcp": server.mcp,
}
#: What needs no server.
LOCAL: Final[dict[str, Callable[[Namespace], None]]] = {
    "login": account.login,
    "logout": account.logout,
    "completion": account.completion,
}
