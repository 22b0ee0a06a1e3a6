"""Both programs on one data directory, with the model that ships with the project."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.layout import Layout
from jobs.spool import Spool
from tests import programs
from tests.programs import ApiProcess, Program


@dataclass
class Service:
    """A running API and runner, and the data directory between them."""

    api: ApiProcess
    runner: Program
    data: Path

    @property
    def incoming(self) -> Path:
        """The drop zone."""
        return self.data / "spool" / "incoming"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A prepared data directory."""
    directory = tmp_path / "data"
    Spool(Layout(directory)).prepare()
    return directory


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Shared by the tests of a module that break nothing."""
    directory = tmp_path_factory.mktemp("service") / "data"
    with programs.api(directory, workers=2) as api, programs.runner(directory) as runner:
        yield Service(api, runner, directory)
