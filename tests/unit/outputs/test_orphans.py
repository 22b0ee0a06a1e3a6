"""Files without a sidecar: old ones go, and what may be about to get its sidecar stays."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.ids import image_id
from jobs.spool import Spool
from outputs import orphans

ENDINGS = [".png", ".webp", ".json"]
OLD, YOUNG = orphans.SPARED_SECONDS + 60, 1.0


def sweep(folder: Path, *, drawn: Callable[[str], bool] = lambda _image: False) -> int:
    return orphans.sweep(folder, os.listdir(folder), drawn)


def put(path: Path, age: float) -> Path:
    """A file that was written some seconds ago."""
    path.touch()
    os.utime(path, (time.time() - age,) * 2)
    return path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(images=st.lists(st.dictionaries(st.sampled_from(ENDINGS), st.sampled_from([OLD, YOUNG])), max_size=4))
def test_exactly_the_old_files_without_a_sidecar_go(
    spool: Spool, tmp_path: Path, images: list[dict[str, float]]
) -> None:
    folder = tmp_path / "day"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    stays: set[Path] = set()
    goes: set[Path] = set()
    for files in images:
        image = image_id(spool.clock.issue(), 1)
        for ending, age in files.items():
            path = put(folder / f"{image}{ending}", age)
            (goes if age == OLD and ".json" not in files else stays).add(path)
    assert sweep(folder) == len(goes)
    assert set(folder.iterdir()) == stays


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    names = ["holiday.png", "img_1.png", ".hidden.webp"]
    for name in names:
        put(tmp_path / name, OLD)
    assert sweep(tmp_path) == 0


def test_what_a_stopped_worker_is_drawing_stays(spool: Spool, tmp_path: Path) -> None:
    png = put(tmp_path / f"{image_id(spool.clock.issue(), 1)}.png", OLD)
    assert sweep(tmp_path, drawn=lambda image: image == png.stem) == 0
    assert png.exists()


@pytest.mark.parametrize("happens", ["committed", "deleted", "written again"])
def test_what_changed_since_the_listing_is_looked_at_again(spool: Spool, tmp_path: Path, happens: str) -> None:
    png = put(tmp_path / f"{image_id(spool.clock.issue(), 1)}.png", OLD)
    names = os.listdir(tmp_path)
    if happens == "committed":
        png.with_suffix(".json").touch()
    elif happens == "deleted":
        png.unlink()
    else:
        png.touch()
    assert orphans.sweep(tmp_path, names, lambda _image: False) == 0
    assert png.exists() == (happens != "deleted")
