"""Commands about the server: its models and its queue."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from client import terminal
from client.api_client import CyberImageClient
from client.commands import answering
from client.tables import Column, print_list

_STATES: Final = ("pending", "processing", "completed", "failed", "cancelled", "total")
_MODELS: Final = (
    Column("model", lambda row: row[0]),
    Column("available", lambda row: "yes" if row[1].available else "no"),
    Column("description", lambda row: row[1].description),
)


def _count(state: str) -> Column:
    return Column(state, lambda row: getattr(row[1], state), least=60 if state == "cancelled" else 0)


_COUNTS: Final = (Column("", lambda row: row[0], most=16), *(_count(state) for state in _STATES))


def models(client: CyberImageClient, args: Namespace) -> None:
    """List the catalog."""
    catalog = client.models()
    rows = [(f"{name}{'*' if name == catalog.default else ''}", model) for name, model in catalog.models.items()]
    answering.show(args, catalog, lambda: print_list(_MODELS, rows))


def queue(client: CyberImageClient, args: Namespace) -> None:
    """Count the jobs."""
    counts = client.queue(detailed=args.detailed)
    answering.show(args, counts, lambda: answering.fields(counts, recent_24h=None, models=None))
    if args.json or counts.recent_24h is None:
        return
    rows: list[tuple[str, Any]] = [("last 24 hours", counts.recent_24h), *(counts.models or {}).items()]
    print_list(_COUNTS, rows)


def pause(client: CyberImageClient, args: Namespace) -> None:
    """Let no job begin."""
    answer = client.pause()
    answering.show(
        args, answer, lambda: terminal.line("No job is begun until `cyberimage resume`; those that run go on.")
    )


def resume(client: CyberImageClient, args: Namespace) -> None:
    """Let jobs begin again."""
    answer = client.resume()
    answering.show(args, answer, lambda: terminal.line("Jobs are begun again."))


def reset_queue(client: CyberImageClient, args: Namespace) -> None:
    """Bring stalled jobs back."""
    answer = client.reset_queue()
    answering.show(args, answer, lambda: terminal.line(answer.message))


def mcp(client: CyberImageClient, args: Namespace) -> None:
    """Serve the Model Context Protocol."""
    from client.mcp.serving import serve

    serve(client.another, args.http)
