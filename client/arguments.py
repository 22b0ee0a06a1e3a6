"""The command line's words: what there is, and what it means."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Final, NoReturn

from client.examples import EXAMPLES
from client.exit_codes import Exit, explained
from client.settings import PICTURES, options

_EPILOG: Final = f"""\
environment:
  CYBERIMAGE_URL      the server (default: that of `cyberimage login`, else http://127.0.0.1:5050)
  CYBERIMAGE_API_KEY  your key, where the server asks for one (default: that of `cyberimage login`)
  CYBERIMAGE_PREVIEW  how the terminal shows pictures: kitty, iterm2, sixel or off (default: seen from the terminal)

ids:
  Lists show the ends of ids. Any beginning or end of at least 4 characters that only one has will do;
  @last is the job that was last submitted from here.

exit codes:
{explained()}
"""
_PICTURES: Final = (
    "a file (.png, .jpg, .webp), a folder/, a pattern with {n}, {seed}, {id} and {prompt}, or - for stdout"
)


class Parser(argparse.ArgumentParser):
    """A parser that shows examples first, and says what is wrong in one sentence."""

    examples: tuple[str, ...] = ()

    def format_help(self) -> str:
        """Examples, then the rest."""
        return "".join(f"  {example}\n" for example in self.examples) + "\n" + super().format_help()

    def error(self, message: str) -> NoReturn:
        """End with a sentence, and where to read on."""
        self.exit(Exit.USAGE, f"cyberimage: {message}\n{self.prog} --help shows how it is used.\n")


def parser() -> Parser:
    """The parser of `cyberimage`."""
    root = Parser(
        prog="cyberimage",
        usage='cyberimage "WHAT THE PICTURE SHOWS" [OPTIONS]\n       cyberimage COMMAND [OPTIONS]',
        description="Pictures from words, by a CyberImage server. Words without a command are drawn;\n"
        "cyberimage generate --help lists the options for that.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    root.examples = EXAMPLES[""]
    root.add_argument("--version", action=_ShowVersion, nargs=0, help="print the version of this program and end")
    commands = root.add_subparsers(
        dest="command", metavar="COMMAND", required=True, prog="cyberimage", parser_class=Parser
    )
    _add_making(commands)
    _add_jobs(commands)
    _add_images(commands)
    _add_server(commands)
    return root


def commands_of(root: Parser) -> dict[str, Parser]:
    """The parser of each command."""
    (commands,) = (action for action in root._actions if isinstance(action, _Commands))
    return dict(commands.choices)


class _ShowVersion(argparse.Action):
    """Looks the version up only where it is asked for: that costs as much as all else of the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the version and end."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("cyberimage")
        except PackageNotFoundError:
            parser.exit(1, f"{parser.prog} is not installed, so that its version is not known.\n")
        sys.stdout.write(f"{parser.prog} {found}\n")
        parser.exit()


_Commands = argparse._SubParsersAction  # the only name that argparse has for it


def _command(commands: _Commands[Parser], name: str, about: str) -> Parser:
    command = commands.add_parser(
        name,
        help=about,
        description=about,
        epilog="cyberimage --help tells of ids, of the environment and of the exit codes.",
        allow_abbrev=False,
    )
    command.examples = EXAMPLES[name]
    command.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    command.add_argument("--url", help="the server, instead of CYBERIMAGE_URL")
    command.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="how long to wait for an answer (30)"
    )
    return command


def _add_making(commands: _Commands[Parser]) -> None:
    generate = _command(commands, "generate", "Draw pictures and save them.")
    generate.add_argument("prompt", nargs="*", help="what the picture shows; - reads it from standard input")
    generate.add_argument("--prompts", metavar="FILE", help="a job for each line of a file (- is standard input)")
    _add_output(generate)
    generate.add_argument("-m", "--model", help="a model of `cyberimage models`; default: the server's")
    generate.add_argument("-n", "--negative", metavar="TEXT", help="what to avoid")
    for name, kind, option in options():
        generate.add_argument(option.flag, dest=name, type=kind, metavar=option.metavar, help=option.about)
    for name, about in PICTURES.items():
        generate.add_argument(f"--{name}", metavar="PICTURE", help=f"{about}; a file, or the id of an image or input")
    generate.add_argument("--size", type=_size, metavar="WxH", help="width and height in pixels, as 512x768")
    generate.add_argument("--like", metavar="ID", help="prompt, model and settings of an image or job, with a new seed")
    generate.add_argument("--same-seed", action="store_true", help="with --like: its seed, too")
    generate.add_argument(
        "--label",
        action="append",
        default=[],
        dest="labels",
        metavar="TEXT",
        help="to find the pictures by; may be repeated",
    )
    generate.add_argument("--enrich", metavar="STYLE", help="let the server add words in this style first")
    _add_preview(generate)
    generate.add_argument(
        "-d", "--detach", "--no-wait", action="store_true", help="print the job's id and leave the job to the server"
    )
    submit = _command(commands, "submit", "Submit a job from a JSON file.")
    submit.add_argument("file", help="the file with the body of POST /api/generate; - is standard input")
    submit.add_argument("--wait", action="store_true", help="wait for the pictures and save them")
    _add_output(submit)
    _add_preview(submit)
    enrich = _command(commands, "enrich", "Add words to a prompt, and print it.")
    enrich.add_argument("prompt", nargs="+", help="the prompt; - reads it from standard input")
    enrich.add_argument("--style", help="one of the server's styles; default: the server's")


def _add_jobs(commands: _Commands[Parser]) -> None:
    wait = _command(commands, "wait", "Wait for jobs and save their pictures; Ctrl-C leaves the jobs alone.")
    _add_ids(wait, "jobs", least="+")
    _add_output(wait)
    _add_preview(wait)
    cancel = _command(commands, "cancel", "Cancel jobs: at once if they wait, within a step if they run.")
    _add_ids(cancel, "jobs", least="+")
    move = _command(
        commands, "move", "Give jobs that wait another turn; several keep the order in which you name them."
    )
    _add_ids(move, "jobs that wait", least="+")
    where = move.add_mutually_exclusive_group()
    where.add_argument("--front", action="store_true", help="before all that wait (this, if nothing else is said)")
    where.add_argument("--back", action="store_true", help="after all that wait")
    where.add_argument("--before", metavar="ID", help="just before this job")
    retry = _command(commands, "retry", "Submit jobs that have ended again, with the same seeds.")
    _add_ids(retry, "jobs", least="+")
    jobs = _command(commands, "jobs", "List jobs, newest first.")
    jobs.add_argument("--status", choices=("pending", "processing", "completed", "failed", "cancelled"))
    jobs.add_argument("-m", "--model", help="only jobs of this model")
    jobs.add_argument("--limit", type=int, default=20, metavar="N", help="how many (20)")
    jobs.add_argument("--cursor", help="the next_cursor of the answer before")
    show = _command(commands, "show", "Show all that is known of jobs or images.")
    _add_ids(show, "jobs or images", least="+")


def _add_images(commands: _Commands[Parser]) -> None:
    gallery = _command(commands, "gallery", "List images, newest first.")
    _add_search(gallery)
    gallery.add_argument("--page", type=int, default=1, metavar="N")
    gallery.add_argument("--limit", type=int, default=20, metavar="N", help="how many on a page (20, at most 50)")
    gallery.add_argument("--all", action="store_true", help="all pages")
    download = _command(commands, "download", "Save images: single ones, all of a job, or all that a search finds.")
    _add_ids(download, "images or jobs", least="*")
    _add_search(download)
    download.add_argument("--limit", type=int, metavar="N", help="only the newest N of what the search finds")
    _add_output(download)
    delete = _command(commands, "delete", "Delete images for good: single ones, all of a job, or what a search finds.")
    _add_ids(delete, "images or jobs", least="*")
    _add_search(delete)
    delete.add_argument("--limit", type=int, metavar="N", help="only the newest N of what the search finds")
    delete.add_argument("-y", "--yes", action="store_true", help="do not ask before several are deleted")
    favourite = _command(commands, "favourite", "Make images favourites: single ones, or all of a job.")
    _add_ids(favourite, "images or jobs", least="+")
    favourite.add_argument("--remove", action="store_true", help="make them favourites no more")
    label = _command(commands, "label", "Label images, or all images of a job, to find them by.")
    _add_ids(label, "images or jobs", least="+")
    label.add_argument(
        "--add", action="append", default=[], metavar="TEXT", help="a label that they get; may be repeated"
    )
    label.add_argument("--remove", action="append", default=[], metavar="TEXT", help="a label that they lose")
    label.add_argument("--clear", action="store_true", help="take all labels away first")


def _add_server(commands: _Commands[Parser]) -> None:
    _command(commands, "models", "List the server's models; * marks the default.")
    queue = _command(commands, "queue", "Show how many jobs are in which state.")
    queue.add_argument("--detailed", action="store_true", help="the last 24 hours and each model, too")
    watch = _command(commands, "watch", "Watch the queue; Ctrl-C ends it. Without a terminal: a line for each change.")
    watch.add_argument(
        "--every",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="time between two looks at a server that does not tell changes (1)",
    )
    watch.add_argument("--until-empty", action="store_true", help="end as soon as no job waits or runs")
    _command(commands, "pause", "Let no job begin until it is resumed; those that run go on.")
    _command(commands, "resume", "Let jobs begin again.")
    _command(commands, "reset-queue", "Put jobs whose worker is gone back into the queue.")
    mcp = _command(commands, "mcp", "Offer the server's tools to language models, by the Model Context Protocol.")
    mcp.add_argument(
        "--http",
        type=_port,
        metavar="PORT",
        help="by HTTP at a port of this machine; default: standard input and output",
    )
    login = _command(commands, "login", "Keep the address of a server and the key for it, for all later commands.")
    login.add_argument("server", nargs="?", metavar="URL", help="the server; the key is asked for, or read from stdin")
    _command(commands, "logout", "Forget the address and the key.")
    completion = _command(commands, "completion", "Print the script with which a shell completes commands and options.")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))


def _add_ids(command: Parser, kinds: str, *, least: str) -> None:
    command.add_argument("ids", nargs=least, metavar="ID", help=f"ids of {kinds}, short or whole, or @last")


def _add_search(command: Parser) -> None:
    command.add_argument("--search", metavar="WORDS", help="only images whose prompt or model has all these words")
    command.add_argument("-m", "--model", help="only images of this model")
    command.add_argument("--label", metavar="TEXT", help="only images with this label")
    command.add_argument("--favourite", action="store_true", help="only favourites")


def _add_output(command: Parser) -> None:
    command.add_argument("-o", "--output", metavar="PATH", help=f"{_PICTURES}; default: <image id>.png")
    command.add_argument("-f", "--force", action="store_true", help="replace files that exist")


def _add_preview(command: Parser) -> None:
    command.add_argument("--no-preview", dest="preview", action="store_false", help="show no pictures in the terminal")


def _size(value: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", value, re.ASCII)
    if not match:
        raise argparse.ArgumentTypeError(f"{value!r} is not a size; write it as 512x768")
    return int(match[1]), int(match[2])


def _port(value: str) -> int:
    if not re.fullmatch(r"\d{1,5}", value, re.ASCII) or not 0 < int(value) < 65536:
        raise argparse.ArgumentTypeError(f"{value!r} is not a port; it must be an integer from 1 to 65535")
    return int(value)


def _seconds(value: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII) or float(value) == 0:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of seconds above 0")
    return float(value)
