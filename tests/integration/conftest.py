"""A real gunicorn over a data directory of its own, with a model that exists but is never run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import ApiProcess, api

CATALOG = """
default = "tiny"
[models.tiny]
id = "tiny"
local = true
description = "for tests"
defaults = { num_inference_steps = 4, height = 64, width = 64 }
limits = { min_side = 16, max_side = 128, size_multiple = 8, max_steps = 50 }
"""


@pytest.fixture(scope="module")
def catalog_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog with one available model."""
    folder = tmp_path_factory.mktemp("catalog")
    (folder / "tiny").mkdir()
    (folder / "tiny" / "model_index.json").write_text("{}", encoding="utf-8")
    path = folder / "models.toml"
    path.write_text(CATALOG, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, catalog_file: Path) -> Iterator[ApiProcess]:
    """An API with two workers and no rate limit, shared by the tests of a module."""
    data = tmp_path_factory.mktemp("server") / "data"
    with api(data, {"CYBERIMAGE_CATALOG": str(catalog_file)}, workers=2) as program:
        yield program
