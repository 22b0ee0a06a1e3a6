"""Where prompts come from: words, standard input, or a file with one on each line."""

from __future__ import annotations

import codecs
import sys
from argparse import Namespace
from pathlib import Path

from client.exit_codes import Ended, Exit


def prompts_of(args: Namespace) -> list[str]:
    """The prompts, at least one; an empty one where `--like` says what is drawn. Raises Ended if there are none."""
    if args.prompts is not None:
        if args.prompt:
            raise Ended(Exit.USAGE, "Give a prompt or --prompts, not both.")
        found = [line.strip() for line in _read(args.prompts).splitlines()]
        if not any(found):
            raise Ended(Exit.USAGE, f"{_named(args.prompts)} holds no prompt; write one on each line.")
        return [prompt for prompt in found if prompt]
    if args.prompt == ["-"]:
        prompt = " ".join(_read("-").split())
        if not prompt:
            raise Ended(Exit.USAGE, "Standard input holds no prompt.")
        return [prompt]
    prompt = " ".join(args.prompt).strip()
    if not prompt and getattr(args, "like", None) is None:
        raise Ended(
            Exit.USAGE, 'Say what the picture shows, as cyberimage "a red house"; - reads it from standard input.'
        )
    return [prompt]


def _read(source: str) -> str:
    content = sys.stdin.buffer.read() if source == "-" and sys.stdin else Path(source).read_bytes()
    return text_of(content, _named(source))


def text_of(content: bytes, name: str) -> str:
    """Text in UTF-8 or, with its mark at the beginning, UTF-16; raises Ended for anything else."""
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise Ended(Exit.USAGE, f"{name} is not text in UTF-8; save it in that encoding.") from None


def _named(source: str) -> str:
    return "Standard input" if source == "-" else source
