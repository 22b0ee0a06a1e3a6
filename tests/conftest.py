"""Fixtures that every test may use. No test sees the operator's environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from core.layout import Layout
from jobs.catalog import Capabilities, Catalog, ModelEntry
from jobs.limits import Limits
from jobs.requests import RequestValidator
from jobs.schema import Job, ModelDefaults
from jobs.spool import Spool
from tests.runner_harness import RunnerHarness

REPOSITORY = Path(__file__).resolve().parent.parent

# Files run side by side; torch's threads would only get in each other's way. Read when torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Whether an example took longer than 200 ms says more about the machine than about us.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are processors: about half of the time tests wait for programs that they started."""
    return (os.cpu_count() or 1) + 2


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the settings of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("CYBERIMAGE_", "OPENAI_")) or name == "PORT":
            monkeypatch.delenv(name)
    # No home of the command line: nothing is kept from one test to the next, and nothing of the operator's is read.
    monkeypatch.setenv("XDG_CONFIG_HOME", os.path.join(os.devnull, "config"))
    monkeypatch.setenv("XDG_STATE_HOME", os.path.join(os.devnull, "state"))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty, prepared spool."""
    spool = Spool(Layout(tmp_path / "data"))
    spool.prepare()
    return spool


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A catalog with an available `tiny` model and a `far` one whose weights are not here."""
    weights = tmp_path / "models"
    (weights / "tiny").mkdir(parents=True)
    (weights / "tiny" / "model_index.json").write_text("{}", encoding="utf-8")
    tiny = ModelEntry(
        id="example/tiny",
        description="for tests",
        defaults=ModelDefaults(num_inference_steps=4, guidance_scale=3.0, height=64, width=64, max_sequence_length=64),
        limits=Limits(min_side=16, max_side=128, size_multiple=8, max_steps=50, max_sequence_length=128),
        capabilities=Capabilities(negative_prompt=True, callback_steps=True),
    )
    far = ModelEntry(id="example/far", description="not here")
    return Catalog({"tiny": tiny, "far": far}, "tiny", tmp_path, weights)


@pytest.fixture
def validator(catalog: Catalog) -> RequestValidator:
    """A validator over the test catalog."""
    return RequestValidator(catalog, prompt_limit=500)


@pytest.fixture
def new_job(spool: Spool, validator: RequestValidator) -> Callable[..., Job]:
    """Make a valid job; `job_id` defaults to its order, as over HTTP."""

    def make(job_id: str | None = None, body: bytes = b'{"model_id": "tiny", "prompt": "a castle"}') -> Job:
        order = spool.clock.issue()
        return validator.job(validator.generate(body), job_id=job_id or order, order=order, source="http")

    return make


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny pipelines (tests/tiny_models.py), made once; read only."""
    from tests import tiny_models

    folder = tmp_path_factory.mktemp("weights")
    tiny_models.save_all(folder)
    return folder


@pytest.fixture
def harness(tmp_path: Path, tiny_weights: Path) -> RunnerHarness:
    """A data directory with a catalog of tiny models, for real runner processes."""
    return RunnerHarness(tmp_path, tiny_weights)


@pytest.fixture
def bare_harness(tmp_path: Path) -> RunnerHarness:
    """A data directory for real runner processes with a worker that only pretends to draw."""
    return RunnerHarness.bare(tmp_path)
