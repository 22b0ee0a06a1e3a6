"""What the fault tests share: a fast place for data directories, and the table at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.requests import RequestValidator
from tests.faults import scenario
from tests.faults.table import TABLE


@pytest.fixture
def fast_path() -> Iterator[Path]:
    """A folder in memory where there is one: a SIGKILL needs no disk, and there syncs cost nothing."""
    shared_memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=shared_memory if shared_memory.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def scripted(tmp_path: Path) -> RequestValidator:
    """The validator of the scenario."""
    return scenario.validator(tmp_path / "models")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give sweeps over every crash point the time they need on a slow machine."""
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
