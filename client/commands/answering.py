"""What the commands have in common: answers in words or JSON, and several ids at once."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

from client import terminal
from client.errors import ClientError
from client.exit_codes import Ended, Exit, sentence_of


def show(args: Namespace, answer: Any, in_words: Callable[[], object]) -> None:
    """The answer, as it was asked for."""
    if args.json:
        terminal.document(answer)
    else:
        in_words()


def note(args: Namespace, text: str) -> None:
    """A remark, unless JSON was asked for."""
    if not args.json:
        terminal.note(text)


def fields(record: Any, **instead: object) -> None:
    """All that a record says, one line each, with some values instead of its own."""
    values = {name: getattr(record, name) for name in record.__struct_fields__} | instead
    terminal.fields([(name, _plain(value)) for name, value in values.items() if value not in ("", [], {})])


def _plain(value: object) -> object:
    """Without the brackets and quotes of a program."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
    if isinstance(value, list):
        return "; ".join(str(_plain(part)) for part in value)
    return value


def each(args: Namespace, ids: Sequence[str], act: Callable[[str], Any], in_words: Callable[[Any], object]) -> None:
    """Do the same with each id, also after one for which it failed; the first error decides the exit code.

    In JSON one id has its own answer, and several have `results`, where an error has the form of every error.
    """
    if len(ids) == 1:
        answer = act(ids[0])
        show(args, answer, lambda: in_words(answer))
        return
    results: list[Any] = []
    failed: list[tuple[str, Exception]] = []
    for identifier in dict.fromkeys(ids):
        try:
            answer = act(identifier)
        except (ClientError, Ended, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            failed.append((identifier, error))
            code, message = sentence_of(error)
            results.append({"status": "error", "id": identifier, "message": message, "exit_code": int(code)})
            note(args, f"cyberimage: {identifier}: {message}")
            continue
        results.append(answer)
        if not args.json:
            in_words(answer)
    if not failed:
        show(args, {"results": results}, lambda: None)
        return
    code, _ = sentence_of(failed[0][1])
    raise Ended(code, f"{len(failed)} of {len(results)} failed.", results=results)


def confirmed(args: Namespace, question: str) -> None:
    """Ask on the terminal; raises Ended for a no, and where nobody can be asked and `--yes` was not given."""
    if args.yes:
        return
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise Ended(Exit.USAGE, f"{question} Nobody can be asked here; add --yes.")
    sys.stderr.write(f"{terminal.printable(question)} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Ended(Exit.USAGE, "Nothing was done.")
