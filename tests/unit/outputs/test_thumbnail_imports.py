"""Threads that make thumbnails import nothing: under gevent two imports at once may wait for each other forever."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.programs import REPOSITORY, without_coverage

#: Reads a PNG from its input, and says what making the thumbnail still imported.
MAKES_ONE = """
import io, sys
from types import SimpleNamespace
from outputs import thumbnail
store = SimpleNamespace(open=lambda image_id: (io.BytesIO(sys.stdin.buffer.read()), None))
thumbnail.prepare()
before = set(sys.modules)
assert thumbnail._make(store, "img")[8:12] == b"WEBP"
print(sorted(set(sys.modules) - before))
"""


def test_making_a_thumbnail_imports_nothing_more(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.linear_gradient("L").resize((640, 320)).convert("RGB").save(picture, "PNG")
    command = [sys.executable, "-c", MAKES_ONE]
    ended = subprocess.run(
        command, input=picture.getvalue(), capture_output=True, check=False, cwd=REPOSITORY, env=without_coverage()
    )
    assert (ended.stdout, ended.stderr) == (b"[]\n", b"")
