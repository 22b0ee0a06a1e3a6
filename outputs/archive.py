"""Several images as one zip file, written as it is read: its size is known before, and little of it is in memory.

PNGs hardly get smaller, so they are stored as they are. Python's zipfile writes to a sink that cannot seek; sizes and
checksums then follow each file (APPNOTE 4.3.9), and how long the whole becomes is a sum (`size_of`).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from io import BufferedReader
from typing import Final, NamedTuple

from jobs.ids import image_folder
from outputs.sidecar import Sidecar
from outputs.store import ImageStore

_CHUNK: Final = 128 << 10
_WORD: Final = re.compile(r"[^\W_]+")
_MOST_WORDS: Final = 6
#: The words of a prompt in a name, in characters.
_LONGEST_WORDS: Final = 40
# The fixed parts of the format, in bytes (APPNOTE 4.3.7 to 4.3.16, 4.5.3).
_LOCAL_HEADER: Final = 30
_DESCRIPTOR: Final = 16
_CENTRAL_HEADER: Final = 46
_FAR_OFFSET: Final = 12
_END: Final = 22
_END_64: Final = 76


class Entry(NamedTuple):
    """An image of an archive."""

    image_id: str
    name: str
    size: int
    created_at: datetime


def entries(store: ImageStore, image_ids: Iterable[str]) -> list[Entry]:
    """The images of an archive, each once, under names that tell them apart; raises ImageNotFound, DamagedImage."""
    found: dict[str, Entry] = {}
    for image_id in dict.fromkeys(image_ids):
        sidecar = store.sidecar(image_id)
        if not store.path(image_id).exists():
            store.open(image_id)[0].close()  # raises what is wrong
        name = _name(sidecar)
        name = f"{image_id}.png" if name in found else name
        found[name] = Entry(image_id, name, sidecar.size_bytes, datetime.fromisoformat(sidecar.created_at))
    return list(found.values())


def _name(sidecar: Sidecar) -> str:
    """`2026-11-22-a-red-house-1f0f9b27_1.png`: the day, words of the prompt, and the end of the id."""
    words = "-".join(_WORD.findall(sidecar.prompt.lower())[:_MOST_WORDS])[:_LONGEST_WORDS].strip("-")
    parts = [image_folder(sidecar.id).replace("/", "-"), words, sidecar.id[-10:]]
    return f"{'-'.join(filter(None, parts))}.png"


def size_of(files: Sequence[Entry]) -> int:
    """How many bytes `stream` gives."""
    offset, central = 0, 0
    for entry in files:
        name = len(entry.name.encode())
        central += _CENTRAL_HEADER + name + (_FAR_OFFSET if offset > zipfile.ZIP64_LIMIT else 0)
        offset += _LOCAL_HEADER + name + entry.size + _DESCRIPTOR
    is_large = max(offset, central) > zipfile.ZIP64_LIMIT
    return offset + central + (_END_64 if is_large else 0) + _END


def stream(files: Sequence[Entry], open_image: Callable[[str], BufferedReader]) -> Iterator[bytes]:
    """The bytes of the archive. `open_image` gives an image's bytes; what it raises ends the archive."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for entry in files:
            about = zipfile.ZipInfo(entry.name, entry.created_at.timetuple()[:6])
            about.file_size = entry.size
            about.external_attr = 0o644 << 16
            with open_image(entry.image_id) as image, archive.open(about, "w") as target:
                while chunk := image.read(_CHUNK):
                    target.write(chunk)
                    yield sink.take()
    yield sink.take()


class _Sink:
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep it."""
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

    def take(self) -> bytes:
        """What was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
