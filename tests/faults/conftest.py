"""What the fault tests share: a fast place for data directories, and the table at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.requests import RequestValidator
from tests.faults import scenario
from tests.faults.fast import fast_folder
from tests.faults.hostile import environment
from tests.faults.table import TABLE
from tests.programs import ApiProcess, api


@pytest.fixture
def fast_path() -> Iterator[Path]:
    """A folder in memory where there is one."""
    with fast_folder() as folder:
        yield folder


@pytest.fixture
def scripted(tmp_path: Path) -> RequestValidator:
    """The validator of the scenario."""
    return scenario.validator(tmp_path / "models")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """One API for the tests of a module that leave it whole."""
    folder = tmp_path_factory.mktemp("hostile")
    with api(folder / "data", environment(folder)) as program:
        yield program


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give sweeps over every failpoint the time they need on a slow machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(7200))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line for each fault: how often it was tried and how often a promise was broken."""
    if TABLE:
        terminalreporter.section("faults")
        terminalreporter.write_line(f"{'fault':<64} {'tries':>7} {'violations':>10}")
        for fault, (tries, broken) in TABLE.items():
            terminalreporter.write_line(f"{fault:<64} {tries:>7} {broken:>10}")
