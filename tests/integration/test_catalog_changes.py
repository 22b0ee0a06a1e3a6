"""The catalog is edited while jobs wait: the API, or the runner, has not read the new one."""

from __future__ import annotations

from falcon.testing import DEFAULT_HOST, TestClient

from core.settings import Settings
from http_api.app import create_app
from jobs.schema import Job, State
from service.maintenance import Maintenance
from service.services import build_services
from tests import tiny_models
from tests.runner_harness import RunnerHarness


def api(harness: RunnerHarness) -> TestClient:
    """An API that has read the catalog as it is now."""
    settings = Settings(
        data=harness.data,
        catalog=harness.catalog_path,
        models=harness.weights,
        reserve_megabytes=0,
        allowed_hosts=(DEFAULT_HOST,),
    )
    services = build_services(settings)
    Maintenance(services).tick()
    return TestClient(create_app(services))


def remove_model(harness: RunnerHarness, key: str) -> None:
    text = tiny_models.catalog_text(default="tiny-sd3")
    kept = [part for part in text.split("\n\n") if not part.startswith(f"[models.{key}]")]
    harness.catalog_path.write_text("\n\n".join(kept), encoding="utf-8")


def assert_unavailable(job: Job) -> None:
    assert job.error is not None
    assert job.error.type == "model_unavailable"
    assert "Model 'tiny-sd' is not in the runner's catalog: restart the runner if it was added" in job.error.message


def test_a_model_that_only_the_api_knows_fails_its_job_with_a_sentence(bare_harness: RunnerHarness) -> None:
    whole = bare_harness.catalog_path.read_bytes()
    remove_model(bare_harness, "tiny-sd")
    with bare_harness.stub_runner():
        assert bare_harness.wait_for(bare_harness.submit(model="tiny-sd3")).outcome == "completed"
        bare_harness.catalog_path.write_bytes(whole)  # the worker has read the old one
        client = api(bare_harness)
        answer = client.simulate_post("/api/generate", json={"model_id": "tiny-sd", "prompt": "a castle"})
        assert answer.status_code == 200, answer.text
        job = bare_harness.wait_for(bare_harness.spool.find(answer.json["job_id"])[1])
        assert_unavailable(job)
        assert bare_harness.wait_for(bare_harness.submit(model="tiny-sd3")).outcome == "completed"
        assert client.simulate_get(f"/api/status/{job.id}").json["error_type"] == "model_unavailable"


def test_a_model_removed_while_its_job_waits_fails_it_with_a_sentence(bare_harness: RunnerHarness) -> None:
    job = bare_harness.submit(model="tiny-sd")
    remove_model(bare_harness, "tiny-sd")
    client = api(bare_harness)
    assert client.simulate_get(f"/api/status/{job.id}").json["status"] == "pending"
    with bare_harness.stub_runner():
        failed = bare_harness.wait_for(job)
        assert (failed.outcome, bare_harness.state(job)) == ("failed", State.FAILED)
        assert_unavailable(failed)
    assert client.simulate_get("/api/jobs", params={"model": "tiny-sd"}).json["jobs"][0]["id"] == job.id
    refused = client.simulate_post(f"/api/jobs/{job.id}/retry")
    assert refused.status_code == 400
    assert refused.json["message"] == 'model_id is "tiny-sd"; it must be one of tiny-flux, tiny-sd3, gone.'


def test_a_model_that_only_the_runner_knows_is_refused_by_the_api_and_drawn_from_a_drop(
    bare_harness: RunnerHarness,
) -> None:
    whole = bare_harness.catalog_path.read_bytes()
    remove_model(bare_harness, "tiny-sd")
    client = api(bare_harness)
    bare_harness.catalog_path.write_bytes(whole)
    with bare_harness.stub_runner():
        bare_harness.drop("castle")
        bare_harness.wait_for_adoption("castle")
        assert bare_harness.wait_for(bare_harness.spool.find("castle")[1]).outcome == "completed"
    assert client.simulate_get("/api/status/castle").json["model_id"] == "tiny-sd"
    assert client.simulate_get("/api/models").status_code == 200
    refused = client.simulate_post("/api/generate", json={"model_id": "tiny-sd", "prompt": "a castle"})
    assert refused.status_code == 400
