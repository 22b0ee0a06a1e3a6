"""Health and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from falcon.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from core.locks import ExclusiveLock
from core.settings import RateLimit
from jobs import runner_status
from jobs.claims import Claim
from jobs.ids import timestamp
from jobs.runner_status import RunnerState, RunnerStatus
from jobs.schema import JobError
from jobs.spool import Spool
from service.rate_limit import RateLimiter
from service.services import Services

Submit = Callable[..., str]
Begin = Callable[[str], Claim]
ClientWith = Callable[..., TestClient]


@pytest.fixture
def runner(services: Services) -> Iterator[Callable[[RunnerState], None]]:
    """A runner that lives (this process holds its lock) and says what it does."""
    lock = ExclusiveLock(runner_status.lock_path(services.settings.data, "cpu"))
    assert lock.acquire()

    def say(state: RunnerState) -> None:
        now = timestamp()
        status = RunnerStatus(pid=1, state=state, step_seconds={"tiny": 0.5}, started_at=now, updated_at=now)
        runner_status.write(services.settings.data, services.spool.layout.temporary, status)

    say(RunnerState.IDLE)
    yield say
    lock.release()  # named here, so that it is not collected, and so let go, before


def test_live(client: TestClient) -> None:
    assert client.simulate_get("/health/live").json == {"status": "ok"}


def test_ready_with_a_runner(client: TestClient, runner: Callable[[RunnerState], None]) -> None:
    answer = client.simulate_get("/health/ready")
    assert (answer.status_code, answer.json["status"]) == (200, "ok")
    assert answer.json["checks"]["runner"]["state"] == "idle"


def test_models_show_how_they_are_in_memory_while_the_runner_lives(
    client: TestClient, services: Services, runner: Callable[[RunnerState], None]
) -> None:
    plan = {"placement": "resident", "compile": "repeated blocks"}
    now = timestamp()
    status = RunnerStatus(pid=1, state=RunnerState.BUSY, plans={"tiny": plan}, started_at=now, updated_at=now)
    runner_status.write(services.settings.data, services.spool.layout.temporary, status)
    models = client.simulate_get("/api/models").json["models"]
    assert (models["tiny"]["plan"], models["far"]["plan"]) == (plan, None)


def test_models_show_no_plan_of_a_runner_that_was_killed(client: TestClient, services: Services) -> None:
    now = timestamp()
    status = RunnerStatus(pid=1, state=RunnerState.BUSY, plans={"tiny": {}}, started_at=now, updated_at=now)
    runner_status.write(services.settings.data, services.spool.layout.temporary, status)
    assert client.simulate_get("/api/models").json["models"]["tiny"]["plan"] is None


def test_not_ready_without_a_runner(client: TestClient) -> None:
    answer = client.simulate_get("/health/ready")
    assert answer.status_code == 503
    assert "No runner" in answer.json["message"]
    assert answer.json["checks"]["storage"]["ok"] is True


def test_not_ready_while_the_runner_is_paused(client: TestClient, runner: Callable[[RunnerState], None]) -> None:
    runner(RunnerState.PAUSED)
    assert client.simulate_get("/health/ready").status_code == 503


def test_not_ready_without_room(
    client_with: ClientWith, runner: Callable[[RunnerState], None], services: Services
) -> None:
    client = client_with(spool=Spool(services.spool.layout, reserve_bytes=1 << 60))
    answer = client.simulate_get("/health/ready")
    assert answer.status_code == 503
    assert answer.json["checks"]["storage"]["ok"] is False


def metrics(client: TestClient) -> dict[str, dict[tuple[str, ...], float]]:
    """Sample name to label values to value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(client.simulate_get("/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels[name] for name in sorted(sample.labels))] = (
                sample.value
            )
    return found


def test_metrics_count_jobs_images_times_and_failures(
    client: TestClient, submit: Submit, begin: Begin, draw: Callable[..., object]
) -> None:
    done, failed, waiting = (submit() for _ in range(3))
    held = begin(done)
    draw(held.job)
    held.complete()
    begin(failed).fail(JobError(type="out_of_memory", message="x"))
    found = metrics(client)
    assert waiting
    assert found["cyberimage_jobs"]["tiny", "pending"] == 1
    assert found["cyberimage_jobs"]["tiny", "completed"] == 1
    assert found["cyberimage_jobs"]["tiny", "cancelled"] == 0
    assert found["cyberimage_images"][()] == 1
    assert found["cyberimage_failed_jobs_total"]["tiny", "out_of_memory"] == 1
    assert found["cyberimage_job_waiting_seconds_count"]["tiny",] == 2
    assert found["cyberimage_job_running_seconds_count"]["tiny",] == 1
    assert found["cyberimage_job_running_seconds_bucket"]["+Inf", "tiny"] == 1
    assert found["cyberimage_job_running_seconds_bucket"]["14400.0", "tiny"] == 1
    assert found["cyberimage_runner_up"][()] == 0


def test_refusals_by_the_rate_limit_are_counted_over_workers(client_with: ClientWith, services: Services) -> None:
    limit = RateLimit(amount=1, seconds=60)
    path = services.spool.layout.rate_limits
    one, other = (client_with(limiter=RateLimiter(path, limit)) for _ in range(2))
    for client in (one, other, one):
        client.simulate_post("/api/generate", json={"model_id": "tiny", "prompt": "x"})
    told, told_by_other = metrics(one), metrics(other)
    for found in (told, told_by_other):
        del found["cyberimage_free_bytes"]  # others write to this disk, too
    assert told == told_by_other
    assert metrics(one)["cyberimage_rate_limited_requests_total"][()] == 2


def test_metrics_without_an_index_say_so(client: TestClient, services: Services) -> None:
    for path in (*services.spool.layout.spool.glob("index.*"), *services.store.layout.outputs.glob("index.*")):
        path.unlink()
    found = metrics(client)
    assert found["cyberimage_index_up"][()] == 0
    assert found["cyberimage_free_bytes"][()] > 0
