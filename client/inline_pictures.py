"""Pictures in the terminal: which protocol a terminal has, and a picture in it.

Kitty's graphics protocol: https://sw.kovidgoyal.net/kitty/graphics-protocol/. iTerm2's inline images:
https://iterm2.com/documentation-images.html. Sixel: DEC STD 070, chapter 9.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, TextIO

from client.picture_formats import opened

if TYPE_CHECKING:
    from PIL import Image

#: The variable that says what the terminal can, where we do not see it.
VARIABLE: Final = "CYBERIMAGE_PREVIEW"
PROTOCOLS: Final = ("kitty", "iterm2", "sixel")
#: Pixels of a cell of the terminal, where it does not tell them.
_CELL: Final = (10, 20)
#: Bytes that kitty takes at once.
_CHUNK: Final = 4096
#: Our picture's number in the terminal: each new one takes the place of the one before.
_NUMBER: Final = 5050


def protocol(environment: Mapping[str, str] = os.environ) -> str | None:
    """How the terminal shows pictures; None if it does not, or not that we know."""
    chosen = environment.get(VARIABLE, "").lower()
    if chosen:
        return chosen if chosen in PROTOCOLS else None
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or term.startswith(("screen", "tmux")):
        return None  # what is between us and the terminal would swallow it
    if program in ("iTerm.app", "WezTerm", "mintty") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    if term in ("xterm-kitty", "xterm-ghostty") or environment.get("KITTY_WINDOW_ID") or program == "ghostty":
        return "kitty"
    return "sixel" if term.startswith(("foot", "mlterm", "contour")) else None


def drawn(content: bytes, how: str, rows: int, columns: int, cell: tuple[int, int]) -> str | None:
    """What shows a picture at the cursor, within so many rows and columns of cells of so many pixels.

    None where that cannot be done for want of Pillow. Raises Ended for what is no picture.
    """
    picture = opened(content)
    if picture is None:
        return None
    scale = min(rows * cell[1] / picture.height, columns * cell[0] / picture.width)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    across, down = max(1, round(size[0] / cell[0])), max(1, round(size[1] / cell[1]))
    small = picture.convert("RGB")
    # Never enlarged here: the terminal does that, and there is less to send.
    small.thumbnail(size)
    if how == "kitty":
        return _kitty(_png(small), down, across)
    if how == "iterm2":
        return _iterm2(_png(small), down, across)
    return "".join(_sixel(small.resize(size)))


def cell_size(stream: TextIO) -> tuple[int, int]:
    """Width and height of a cell of the terminal in pixels."""
    import fcntl
    import struct
    import termios

    try:
        size = fcntl.ioctl(stream.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
    except OSError:
        return _CELL
    rows, columns, width, height = struct.unpack("HHHH", size)
    if not (rows and columns and width >= columns and height >= rows):
        return _CELL
    return width // columns, height // rows


def _png(picture: Image.Image) -> bytes:
    made = io.BytesIO()
    picture.save(made, "PNG", compress_level=1)
    return made.getvalue()


def _kitty(png: bytes, rows: int, columns: int) -> str:
    """Send and show at once, leave the cursor, answer nothing; every chunk but the last says that more comes."""
    data = base64.b64encode(png).decode()
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    first = f"a=T,f=100,i={_NUMBER},p=1,c={columns},r={rows},C=1,q=2,"
    return "".join(
        f"\x1b_G{first if number == 0 else ''}m={int(number < len(chunks) - 1)};{chunk}\x1b\\"
        for number, chunk in enumerate(chunks)
    )


def _iterm2(png: bytes, rows: int, columns: int) -> str:
    told = f"inline=1;size={len(png)};width={columns};height={rows};preserveAspectRatio=0;doNotMoveCursor=1"
    return f"\x1b]1337;File={told}:{base64.b64encode(png).decode()}\x07"


def _sixel(picture: Image.Image) -> Iterator[str]:
    """Bands of six lines; in each a run of every colour that it has, whose bits say where that colour is."""
    coloured = picture.quantize(64)
    palette = coloured.getpalette() or []
    pixels = coloured.tobytes()
    width, height = coloured.size
    yield f'\x1bP0;1;0q"1;1;{width};{height}'
    for number in range(len(palette) // 3):
        red, green, blue = (round(value * 100 / 255) for value in palette[number * 3 : number * 3 + 3])
        yield f"#{number};2;{red};{green};{blue}"
    for top in range(0, height, 6):
        lines = [pixels[y * width : (y + 1) * width] for y in range(top, min(top + 6, height))]
        for number in sorted(set(b"".join(lines))):
            bits = [sum((row[x] == number) << y for y, row in enumerate(lines)) for x in range(width)]
            yield f"#{number}{''.join(_runs(bits))}$"
        yield "-"
    yield "\x1b\\"


def _runs(bits: list[int]) -> Iterator[str]:
    start = 0
    for end in range(1, len(bits) + 1):
        if end == len(bits) or bits[end] != bits[start]:
            character, count = chr(63 + bits[start]), end - start
            yield f"!{count}{character}" if count > 3 else character * count
            start = end
