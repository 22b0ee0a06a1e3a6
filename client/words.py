"""From words to a command: `cyberimage "a red house"` is a short form of `cyberimage generate "a red house"`."""

from __future__ import annotations

import difflib
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from client.arguments import Parser, commands_of, parser

_SHORT_FORM: Final = "generate"


def understood(words: Sequence[str]) -> Namespace:
    """The command and its options; ends the program with a sentence where the words are none."""
    root = parser()
    commands = commands_of(root)
    if not words:
        root.error('say what the picture shows, as cyberimage "a red house", or a command')
    if words[0] in ("-h", "--help", "--version"):
        root.parse_args(words[:1])
    is_short = words[0] not in commands
    name, rest = (_SHORT_FORM, list(words)) if is_short else (words[0], list(words[1:]))
    args = _parsed(commands[name], rest)
    args.command = name
    if is_short:
        _refuse_slips(root, commands, args.prompt, is_first=words[0] in args.prompt)
    _check(commands[name], args)
    return args


def _parsed(command: Parser, words: list[str]) -> Namespace:
    """Options may stand between the words of a prompt; what follows `--` is no option."""
    before, after = words, []
    if "--" in words:
        place = words.index("--")
        before, after = words[:place], words[place + 1 :]
    lists = [action for action in command._get_positional_actions() if action.nargs in ("*", "+")]
    if not after or not lists:
        return command.parse_intermixed_args(words)
    # argparse in Python 3.11 forgets a `--` before the first of the words: they are added by hand.
    (words_of,) = lists
    least, words_of.nargs = words_of.nargs, "*"
    args = command.parse_intermixed_args(before)
    words_of.nargs = least
    setattr(args, words_of.dest, [*(getattr(args, words_of.dest) or []), *after])
    return args


def _refuse_slips(root: Parser, commands: Iterable[str], prompt: Sequence[str], *, is_first: bool) -> None:
    """A command that is misspelt, or that does not come first, is hardly meant as a picture."""
    if not prompt or " " in prompt[0]:
        return
    if not is_first and prompt[0] in commands:
        root.error(f"the command {prompt[0]} must come first; to draw the word, say: cyberimage generate {prompt[0]}")
    near = difflib.get_close_matches(prompt[0].lower(), commands, n=1, cutoff=0.75) if len(prompt) == 1 else []
    if near:
        root.error(
            f"there is no command {prompt[0]}; {near[0]} perhaps? To draw the word: cyberimage generate {prompt[0]}"
        )


def _check(command: Parser, args: Namespace) -> None:
    """End with a sentence where options contradict each other, or cannot be sent."""
    checks: dict[str, Callable[[Namespace], str | None]] = {
        _SHORT_FORM: _fault_of_generate,
        "download": _fault_of_search,
        "delete": _fault_of_search,
        "label": _fault_of_label,
    }
    fault = checks[args.command](args) if args.command in checks else None
    if fault is None and getattr(args, "output", None) == "-" and args.json:
        fault = "-o - and --json both write to standard output; give one of them"
    if fault is not None:
        command.error(fault)
    for name, value in vars(args).items():
        _check_text(command, name, value)


def _fault_of_generate(args: Namespace) -> str | None:
    if args.size and (args.width or args.height):
        return "give --size, or --width and --height, not both"
    if args.num_images is not None and args.num_images < 1:
        return f"--images is {args.num_images}; it must be at least 1"
    if args.like is None and args.same_seed:
        return "--same-seed needs --like"
    return None


def _fault_of_label(args: Namespace) -> str | None:
    return None if args.add or args.remove or args.clear else "say --add TEXT, --remove TEXT or --clear"


def _fault_of_search(args: Namespace) -> str | None:
    if args.ids and (args.search is not None or args.model is not None or args.label is not None or args.favourite):
        return "give ids, or --search, --model, --label and --favourite, not both"
    if args.limit is not None and args.limit < 1:
        return f"--limit is {args.limit}; it must be at least 1"
    return None


def _check_text(command: Parser, name: str, value: object) -> None:
    """Words that are no text in the encoding of the terminal cannot be sent; names of files may be any bytes."""
    if name in ("output", "file", "prompts"):
        return
    for word in value if isinstance(value, list) else [value]:
        if isinstance(word, str) and any("\ud800" <= character <= "\udfff" for character in word):
            shown = word.encode("utf-8", "backslashreplace").decode()
            command.error(
                f"{shown} is not text in UTF-8; set the terminal, or the file it comes from, to that encoding"
            )
