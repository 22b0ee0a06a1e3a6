"""Keeps the folders of the server out of what clients read: errors of libraries name files by their full path."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

#: What ends a path in a sentence. A path with a space in it is only known as a whole by the folder it lies in.
_INSIDE: Final = r"[^\s'\"`<>|,;:()\[\]{}]"
#: An absolute path: at a slash that begins a word, also behind a colon, but not the two slashes of an address.
_PATH: Final = re.compile(rf"(?:file://|(?<![\w.:/])/*|(?<=:))/(?!/)(?P<inner>{_INSIDE}+)")


def without_paths(text: str, *folders: Path) -> str:
    """`text` with these folders called by their name alone, and of every other absolute path only its last part."""
    names = {form: folder.name for folder in folders for form in _forms(folder)}
    for form in sorted(names, key=len, reverse=True):  # the inner folder before the one that holds it
        if form.startswith("/") and form != "/":
            name = names[form].replace("\\", r"\\")
            text = re.sub(rf"(?<![\w.]){re.escape(form)}(?![\w-])", name, text)
    return _PATH.sub(lambda match: match["inner"].rstrip("/").rpartition("/")[2], text)


def _forms(folder: Path) -> tuple[str, ...]:
    return str(folder), str(folder.absolute()), os.path.realpath(folder)
