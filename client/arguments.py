"""The command line's words: what there is, what it means, and which exit code says what."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from client.settings import options

_EPILOG: Final = """\
environment:
  CYBERIMAGE_URL      the server (default http://127.0.0.1:5050)
  CYBERIMAGE_API_KEY  your key, where the server asks for one

exit codes:
  0  done                       5  the server cannot be reached, or is no CyberImage
  1  the job failed             6  rate limit reached, or the server cannot serve now
  2  wrong use                  7  a file cannot be read or written
  3  no such job or image     130  interrupted (generate and submit --wait cancel their job)
  4  the server rejected the request
"""


def parser() -> argparse.ArgumentParser:
    """The parser of `cyberimage`."""
    root = argparse.ArgumentParser(
        prog="cyberimage",
        description="Pictures from words, by a CyberImage server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action=_ShowVersion, nargs=0, help="print the version of this program and end")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_making(commands)
    _add_jobs(commands)
    _add_images(commands)
    _add_server(commands)
    return root


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


def _command(commands: _Commands[argparse.ArgumentParser], name: str, about: str) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=about, description=about, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    command.add_argument("--url", help="the server, instead of CYBERIMAGE_URL")
    command.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="how long to wait for an answer (30)"
    )
    return command


def _add_making(commands: _Commands[argparse.ArgumentParser]) -> None:
    generate = _command(commands, "generate", "Draw pictures and save them.")
    generate.add_argument("prompt", help="what the picture shows")
    _add_output(generate)
    generate.add_argument("-m", "--model", help="a model of `cyberimage models`; default: the server's")
    generate.add_argument("-n", "--negative", metavar="TEXT", help="what to avoid")
    for name, kind, option in options():
        generate.add_argument(option.flag, dest=name, type=kind, metavar=option.metavar, help=option.about)
    generate.add_argument("--size", type=_size, metavar="WxH", help="width and height in pixels, as 512x768")
    generate.add_argument("--enrich", metavar="STYLE", help="let the server add words in this style first")
    generate.add_argument("--no-wait", action="store_true", help="print the job's id and leave")
    submit = _command(commands, "submit", "Submit a job from a JSON file.")
    submit.add_argument("file", help="the file with the body of POST /api/generate; - is standard input")
    submit.add_argument("--wait", action="store_true", help="wait for the pictures and save them")
    _add_output(submit)
    enrich = _command(commands, "enrich", "Add words to a prompt, and print it.")
    enrich.add_argument("prompt")
    enrich.add_argument("--style", help="one of the server's styles; default: the server's")


def _add_jobs(commands: _Commands[argparse.ArgumentParser]) -> None:
    wait = _command(commands, "wait", "Wait for a job and save its pictures.")
    wait.add_argument("id", help="a job's id")
    _add_output(wait)
    for name, about in (
        ("cancel", "Cancel a job: at once if it waits, within a step if it runs."),
        ("retry", "Submit a job that has ended again, with the same seed."),
    ):
        _command(commands, name, about).add_argument("id", help="a job's id")
    jobs = _command(commands, "jobs", "List jobs, newest first.")
    jobs.add_argument("--status", choices=("pending", "processing", "completed", "failed", "cancelled"))
    jobs.add_argument("-m", "--model", help="only jobs of this model")
    jobs.add_argument("--limit", type=int, default=20, metavar="N", help="how many (20)")
    jobs.add_argument("--cursor", help="the next_cursor of the answer before")
    show = _command(commands, "show", "Show a job or an image.")
    show.add_argument("id", help="a job's or an image's id")


def _add_images(commands: _Commands[argparse.ArgumentParser]) -> None:
    gallery = _command(commands, "gallery", "List images, newest first.")
    gallery.add_argument("--search", metavar="WORDS", help="only images whose prompt or model has all these words")
    gallery.add_argument("-m", "--model", help="only images of this model")
    gallery.add_argument("--page", type=int, default=1, metavar="N")
    gallery.add_argument("--limit", type=int, default=20, metavar="N", help="how many on a page (20, at most 50)")
    gallery.add_argument("--all", action="store_true", help="all pages")
    download = _command(commands, "download", "Save an image, or the images of a job.")
    download.add_argument("id", help="an image's or a job's id")
    _add_output(download)
    _command(commands, "delete", "Delete an image for good.").add_argument("id", help="an image's id")


def _add_server(commands: _Commands[argparse.ArgumentParser]) -> None:
    _command(commands, "models", "List the server's models; * marks the default.")
    queue = _command(commands, "queue", "Show how many jobs are in which state.")
    queue.add_argument("--detailed", action="store_true", help="the last 24 hours and each model, too")
    _command(commands, "reset-queue", "Put jobs whose worker is gone back into the queue.")


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="a file, or a folder that exists; several pictures get numbered names; default: <image id>.png",
    )
    command.add_argument("-f", "--force", action="store_true", help="replace files that exist")


def _size(value: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", value, re.ASCII)
    if not match:
        raise argparse.ArgumentTypeError(f"{value!r} is not a size; write it as 512x768")
    return int(match[1]), int(match[2])


def _seconds(value: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII) or float(value) == 0:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of seconds above 0")
    return float(value)
