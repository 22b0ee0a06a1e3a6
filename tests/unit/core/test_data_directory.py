"""The data directory is made once, by whoever is first, and never on top of an unmounted volume."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from core.errors import DataDirectoryError
from core.layout import MARKER, Layout
from jobs.spool import Spool


def _prepare(data: Path) -> str:
    try:
        Spool(Layout(data)).prepare()
    except DataDirectoryError as error:
        return str(error)
    return ""


def test_programs_that_start_at_once_do_not_refuse_each_other(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(8) as pool:
        for number in range(20):
            assert pool.map(_prepare, [tmp_path / str(number)] * 8, chunksize=1) == [""] * 8
    assert sorted(os.listdir(tmp_path)) == sorted(str(number) for number in range(20))


def test_an_empty_folder_is_taken_for_an_unmounted_volume(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with pytest.raises(DataDirectoryError, match="CYBERIMAGE_CREATE_DATA"):
        Spool(Layout(data)).prepare()
    assert list(data.iterdir()) == []
    Spool(Layout(data)).prepare(create_anyway=True)
    Spool(Layout(data)).prepare()
    assert (data / MARKER).exists()


def test_folders_that_are_missing_are_made_again(spool: Spool) -> None:
    spool.layout.incoming.rmdir()
    spool.prepare()
    assert spool.layout.incoming.is_dir()
