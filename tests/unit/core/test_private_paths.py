"""No sentence for a client names a folder of the server."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.private_paths import without_paths

FOLDER = Path("/srv/my models/tiny-sd")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "Error no file named model.safetensors found in directory /srv/my models/tiny-sd/unet.",
            "Error no file named model.safetensors found in directory tiny-sd/unet.",
        ),
        ("[Errno 13] Permission denied: '/var/lib/x/jobs/a.json'", "[Errno 13] Permission denied: 'a.json'"),
        ("PosixPath('/srv/my models/tiny-sd')", "PosixPath('tiny-sd')"),
        ("path=/a/b:/c/d //e/f file:///g/h", "path=b:d f h"),
        ("See https://huggingface.co/docs/x and and/or 3/4 of ./here", None),
        ("in/srv/my models/tiny-sdx", None),
        ("the size is 512 / 8", None),
    ],
)
def test_paths_are_told_by_their_last_part(text: str, told: str | None) -> None:
    assert without_paths(text, FOLDER) == (text if told is None else told)


def test_a_folder_is_known_by_its_real_and_its_relative_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tmp_path / "a disk" / "weights"
    real.mkdir(parents=True)
    link = tmp_path / "models"
    link.symlink_to(real)
    assert without_paths(f"{real}/unet is odd", link) == "models/unet is odd"
    monkeypatch.chdir(tmp_path)
    assert without_paths(f"{link}/unet is odd", Path("models")) == "models/unet is odd"


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="/\n", exclude_categories=["Cs", "Cc"]), max_size=8)
PARTS = st.from_regex(r"[A-Za-z0-9_äß][A-Za-z0-9_äß.-]{0,8}", fullmatch=True).filter(lambda part: part.strip("."))
FOLDERS = st.lists(st.one_of(PARTS, st.sampled_from(["my models", "a (b)", "x: y", "it's"])), min_size=2, max_size=4)


@given(FOLDERS, st.lists(PARTS, max_size=3), WORDS, WORDS, st.sampled_from([" ", "'", '"', "(", ":", "=", "["]))
def test_no_text_keeps_the_place_of_a_folder(
    folder: list[str], inside: list[str], before: str, after: str, mark: str
) -> None:
    path = Path("/zz-server", *folder)
    told = without_paths(f"{before}{mark}{path.joinpath(*inside)} {after}", path)
    assert "zz-server" not in told


@given(st.lists(PARTS, min_size=2, max_size=5), WORDS, st.sampled_from([" ", "'", '"', "(", ":", "=", "["]))
def test_no_text_keeps_a_path_that_nobody_told_us_of(parts: list[str], before: str, mark: str) -> None:
    told = without_paths(f"{before}{mark}/{'/'.join(parts)} is missing")
    assert "/" not in told
    assert told.endswith(f"{parts[-1]} is missing")
