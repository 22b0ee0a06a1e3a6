"""What the measurements share: sizes, durations, and data directories that are made once."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from bench.generate_data import Generator
from core.settings import Settings
from service.data import open_data
from service.maintenance import repair


@dataclass
class Context:
    """How much is measured, and where."""

    folder: Path
    #: Jobs in the large data directory.
    size: int
    rounds: int
    #: Of one measurement under load.
    seconds: float
    #: Name of a series to (jobs, milliseconds), for the chart.
    series: dict[str, dict[int, float]] = field(default_factory=dict)

    @property
    def slack(self) -> float:
        """By what the goals are multiplied: they are stated for 100,000, and beyond that a factor is allowed."""
        return 3.0 if self.size > 100_000 else 1.0

    def data(self, jobs: int) -> Path:
        """A data directory with so many finished jobs, indexed; kept for the next run."""
        path = self.folder / f"data-{jobs}"
        done = self.folder / f"data-{jobs}.done"
        if not done.exists():
            shutil.rmtree(path, ignore_errors=True)
            Generator(path).run(jobs)
            done.touch()
        repair(open_data(Settings(data=path)))
        return path

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def note(self, series: str, jobs: int, milliseconds: float) -> None:
        """Remember a point of the chart."""
        self.series.setdefault(series, {})[jobs] = milliseconds
