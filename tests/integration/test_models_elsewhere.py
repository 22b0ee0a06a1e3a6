"""Weights that only the runner sees, as in containers where only the runner has them mounted."""

from __future__ import annotations

from pathlib import Path

import pytest
from falcon.testing import DEFAULT_HOST, TestClient

from core.settings import Settings
from http_api.app import create_app
from jobs import runner_status
from jobs.ids import timestamp
from jobs.runner_status import RunnerState, RunnerStatus
from jobs.spool import Spool
from service.maintenance import Maintenance
from service.services import build_services
from tests.runner_harness import RunnerHarness


@pytest.fixture
def client(bare_harness: RunnerHarness) -> TestClient:
    """An API that sees the data and the catalog of the harness, but no weights."""
    nowhere = bare_harness.folder / "not mounted"
    settings = Settings(
        data=bare_harness.data,
        catalog=bare_harness.catalog_path,
        models=nowhere,
        reserve_megabytes=0,
        allowed_hosts=(DEFAULT_HOST,),
    )
    services = build_services(settings)
    Maintenance(services).tick()
    return TestClient(create_app(services))


def is_offered(client: TestClient, model: str = "tiny-sd") -> bool:
    """Whether a model is said to be available, and whether a job for it is taken: always the same."""
    listed: bool = client.simulate_get("/api/models").json["models"][model]["available"]
    answer = client.simulate_post("/api/generate", json={"model_id": model, "prompt": "a castle"})
    assert answer.status_code == (200 if listed else 400), answer.text
    return listed


def say(spool: Spool, models: list[str], device: str = "cpu") -> None:
    now = timestamp()
    status = RunnerStatus(pid=1, state=RunnerState.IDLE, available_models=models, started_at=now, updated_at=now)
    runner_status.write(spool.layout, status, device)


def test_a_model_of_the_runner_is_offered_and_drawn(bare_harness: RunnerHarness, client: TestClient) -> None:
    assert not is_offered(client)
    with bare_harness.stub_runner():
        bare_harness.wait_for_status(lambda status: status.available_models, "the runner to say what it has")
        answer = client.simulate_post("/api/generate", json={"model_id": "tiny-sd", "prompt": "a castle"})
        assert answer.status_code == 200, answer.text
        _, job = bare_harness.spool.find(answer.json["job_id"])
        assert bare_harness.wait_for(job).outcome == "completed"
        assert not is_offered(client, "gone")
    assert is_offered(client)  # it is drawn as soon as the runner is back


def test_what_any_runner_last_saw_counts(bare_harness: RunnerHarness, client: TestClient) -> None:
    say(bare_harness.spool, ["tiny-sd"])
    say(bare_harness.spool, ["tiny-flux"], "cuda:1")
    assert is_offered(client, "tiny-sd")
    assert is_offered(client, "tiny-flux")
    assert not is_offered(client, "gone")
    say(bare_harness.spool, ["a model of another catalog"])
    assert not is_offered(client, "tiny-sd")
    bare_harness.spool.layout.runner_status("cuda:1").write_text("{", encoding="utf-8")
    assert not is_offered(client, "tiny-flux")


def test_the_default_is_a_model_that_the_runner_has(bare_harness: RunnerHarness, client: TestClient) -> None:
    text = bare_harness.catalog_path.read_text(encoding="utf-8").replace("models.gone", "models.demo")
    bare_harness.catalog_path.write_text(text, encoding="utf-8")
    settings = Settings(
        data=bare_harness.data,
        catalog=bare_harness.catalog_path,
        models=Path("/nowhere"),
        allowed_hosts=(DEFAULT_HOST,),
    )
    client = TestClient(create_app(build_services(settings)))
    assert client.simulate_get("/api/models").json["default"] == "demo"
    say(bare_harness.spool, ["tiny-sd"])
    assert client.simulate_get("/api/models").json["default"] == "tiny-sd"
