"""The real worker with the stub engine: claims, draws nothing worth looking at, and commits. See `engine.stub`.

What is drawn and committed is noted in the file TEST_EVENTS, if there is one. TEST_WORKER_BROKEN ends it at once.
TEST_AUTO is the device that `auto` stands for, and TEST_ABSENT one that is not there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from core.layout import Layout
from core.settings import Settings
from engine.contract import DeviceUnavailable, Engine
from engine.stub import StubEngine
from jobs.catalog import Catalog
from outputs.sidecar import Sidecar
from outputs.store import ImageStore
from runner.job_run import JobRun
from runner.worker import main


def note(line: str) -> None:
    """Append to the log of events; a single write is never torn by a kill."""
    if path := os.environ.get("TEST_EVENTS"):
        with open(path, "ab", buffering=0) as stream:
            stream.write(f"{line}\n".encode())


def note_runs(missing: Callable[[JobRun], list[int]]) -> Callable[[JobRun], list[int]]:
    """`JobRun._missing`, noting which images are about to be drawn."""

    def noting(run: JobRun) -> list[int]:
        numbers = missing(run)
        for number in numbers:
            note(f"drawing {run._image_id(number)}")
        return numbers

    return noting


def note_commits(commit: Callable[[ImageStore, bytes, Sidecar], None]) -> Callable[[ImageStore, bytes, Sidecar], None]:
    """`ImageStore.commit`, noting what is durable now."""

    def noting(store: ImageStore, png: bytes, sidecar: Sidecar) -> None:
        commit(store, png, sidecar)
        note(f"committed {sidecar.id}")

    return noting


def stub_engine(settings: Settings, _catalog: Catalog, layout: Layout) -> Engine:
    """The stub for the device that the runner was told."""
    (device,) = settings.devices
    if device == os.environ.get("TEST_ABSENT"):
        raise DeviceUnavailable(f"CYBERIMAGE_DEVICE is {device!r}, which is not there.")
    device = os.environ.get("TEST_AUTO", device) if device == "auto" else device
    return StubEngine(device, layout.cache / "stub")


if __name__ == "__main__":
    if os.environ.get("TEST_WORKER_BROKEN"):
        sys.exit(1)
    JobRun._missing = note_runs(JobRun._missing)  # type: ignore[method-assign, assignment]
    ImageStore.commit = note_commits(ImageStore.commit)  # type: ignore[method-assign, assignment]
    main(stub_engine)
