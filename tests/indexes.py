"""The derived indexes of a data directory, as the programs open them."""

from __future__ import annotations

from pathlib import Path

from core.settings import Settings
from jobs.index.job_index import JobIndex
from outputs.index.image_index import ImageIndex
from service.data import Data, open_data


def data_at(folder: Path) -> Data:
    """A data directory, opened with the default settings."""
    return open_data(Settings(data=folder))


def job_index(folder: Path) -> JobIndex:
    """The index of its jobs."""
    return data_at(folder).jobs


def image_index(folder: Path) -> ImageIndex:
    """The index of its images."""
    return data_at(folder).images
