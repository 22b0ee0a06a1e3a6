"""Health and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from falcon.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from core.locks import ExclusiveLock
from core.settings import RateLimit
from http_api.app import ROUTES
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
    lock = ExclusiveLock(services.layout.runner_lock("cpu"))
    assert lock.acquire()

    def say(state: RunnerState) -> None:
        now = timestamp()
        status = RunnerStatus(pid=1, state=state, step_seconds={"tiny": 0.5}, started_at=now, updated_at=now)
        runner_status.write(services.layout, status, "cpu")

    say(RunnerState.IDLE)
    yield say
    lock.release()  # named here, so that it is not collected, and so let go, before


def test_live(client: TestClient) -> None:
    assert client.simulate_get("/health/live").json == {"status": "ok"}


def test_ready_with_a_runner(client: TestClient, runner: Callable[[RunnerState], None]) -> None:
    answer = client.simulate_get("/health/ready")
    assert (answer.status_code, answer.json["status"]) == (200, "ok")
    assert answer.json["checks"]["runner"]["state"] == "idle"


@contextmanager
def living(services: Services, device: str, state: RunnerState, **facts: Any) -> Iterator[None]:
    """A runner for `device` that lives and says what it does."""
    lock = ExclusiveLock(services.layout.runner_lock(device))
    assert lock.acquire()
    now = timestamp()
    status = RunnerStatus(pid=1, state=state, device=device, started_at=now, updated_at=now, **facts)
    runner_status.write(services.layout, status, device)
    yield
    lock.release()


def test_ready_while_any_runner_draws(client: TestClient, services: Services) -> None:
    with (
        living(services, "cuda:0", RunnerState.PAUSED, message="The disk is nearly full.", job_id="a"),
        living(services, "cuda:1", RunnerState.IDLE),
        living(services, "cuda:2", RunnerState.BUSY, job_id="b"),
    ):
        answer = client.simulate_get("/health/ready")
    found = answer.json["checks"]["runner"]
    assert (answer.status_code, answer.json["message"]) == (200, "Ready.")
    assert (found["ok"], found["state"], found["device"], found["job_id"]) == (True, "busy", "cuda:2", "b")
    assert [(look["runner"], look["ok"]) for look in found["runners"]] == [
        ("cuda:0", False),
        ("cuda:1", True),
        ("cuda:2", True),
    ]


def test_not_ready_while_all_runners_are_paused_or_gone(client: TestClient, services: Services) -> None:
    with living(services, "cuda:1", RunnerState.IDLE):
        pass
    with living(services, "cuda:0", RunnerState.PAUSED, message="The disk is nearly full."):
        answer = client.simulate_get("/health/ready")
    assert answer.status_code == 503
    assert answer.json["message"] == "The runner is paused. The disk is nearly full."
    assert [look["runner"] for look in answer.json["checks"]["runner"]["runners"]] == ["cuda:0"]


def test_a_runner_that_has_said_nothing_yet_is_starting(client: TestClient, services: Services) -> None:
    lock = ExclusiveLock(services.layout.runner_lock("cuda:0"))
    assert lock.acquire()
    found = client.simulate_get("/health/ready").json["checks"]["runner"]
    lock.release()
    assert (found["ok"], found["state"]) == (True, "starting")


def test_metrics_tell_runners_apart(client: TestClient, services: Services) -> None:
    with (
        living(services, "cpu", RunnerState.BUSY, step_seconds={"tiny": 3.0}),
        living(services, "cuda:0", RunnerState.IDLE, step_seconds={"tiny": 0.5}, load_seconds={"far": 7.0}),
    ):
        found = metrics(client)
    assert found["cyberimage_runner_up"][()] == 1
    assert [labels for labels, value in found["cyberimage_runner_state"].items() if value] == [
        ("cpu", "busy"),
        ("cuda:0", "idle"),
    ]
    assert found["cyberimage_step_seconds"] == {("cpu", "tiny"): 3.0, ("cuda:0", "tiny"): 0.5}
    assert found["cyberimage_model_load_seconds"] == {("cuda:0", "far"): 7.0}


def test_models_show_the_plans_of_all_runners(client: TestClient, services: Services) -> None:
    with (
        living(services, "cuda:0", RunnerState.IDLE, plans={"tiny": {"placement": "resident"}}),
        living(services, "cuda:1", RunnerState.IDLE, plans={"far": {"placement": "model_offload"}}),
    ):
        models = client.simulate_get("/api/models").json["models"]
    assert models["tiny"]["plan"] == {"placement": "resident"}
    assert models["far"]["plan"] == {"placement": "model_offload"}


def test_models_show_how_they_are_in_memory_while_the_runner_lives(
    client: TestClient, services: Services, runner: Callable[[RunnerState], None]
) -> None:
    plan = {"placement": "resident", "compile": "repeated blocks"}
    now = timestamp()
    status = RunnerStatus(pid=1, state=RunnerState.BUSY, plans={"tiny": plan}, started_at=now, updated_at=now)
    runner_status.write(services.layout, status, "cpu")
    models = client.simulate_get("/api/models").json["models"]
    assert (models["tiny"]["plan"], models["far"]["plan"]) == (plan, None)


def test_models_show_no_plan_of_a_runner_that_was_killed(client: TestClient, services: Services) -> None:
    now = timestamp()
    status = RunnerStatus(pid=1, state=RunnerState.BUSY, plans={"tiny": {}}, started_at=now, updated_at=now)
    runner_status.write(services.layout, status, "cpu")
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


def requests(client: TestClient) -> dict[tuple[str, ...], float]:
    """How many requests were counted, by method, route and class of status, since the tests began."""
    return metrics(client).get("cyberimage_http_request_seconds_count", {})


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
def test_requests_are_counted_by_route_method_and_class_of_status(
    client_with: ClientWith, submit: Submit, services: Services
) -> None:
    before = requests(client_with())
    job, client = submit(), client_with()
    for path in (
        f"/api/status/{job}",
        "/api/status/nobody",
        "/api/nix",
        f"/api/nix/{job}",
        "/api/gallery",
        "/static/a",
    ):
        client.simulate_get(path)
    client.simulate_get(f"/api/status/{job}", params={"wait": "0"})
    TestClient(client.app).simulate_request(method="BREW", path="/api/gallery")
    after = requests(client_with())
    assert {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)} == {
        ("POST", "/api/generate", "2xx"): 1,
        ("GET", "/api/status/{job_id}", "2xx"): 1,
        ("GET", "/api/status/{job_id}", "4xx"): 1,
        ("GET", "/api/status/{job_id}?wait", "2xx"): 1,
        ("GET", "none", "4xx"): 2,
        ("GET", "/api/gallery", "2xx"): 1,
        ("GET", "/static/{name}", "4xx"): 1,
        ("other", "/api/gallery", "4xx"): 1,
        ("GET", "/metrics", "2xx"): 1,
    }


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
def test_no_request_makes_a_series_of_its_own(client_with: ClientWith) -> None:
    client = client_with()
    before = requests(client_with()).keys()
    for number in range(50):
        client.simulate_get(f"/api/{number}/x")
        client.simulate_get(f"/api/status/{number}")
        TestClient(client.app).simulate_request(method=f"M{number}", path="/api/gallery")
    routes = {route for _, route, _ in requests(client_with())}
    assert routes <= {"none", *(route.path for route in ROUTES), *(f"{route.path}?wait" for route in ROUTES)}
    assert len(requests(client_with()).keys() - before) < 10


def test_refusals_by_the_rate_limit_are_counted_over_workers(client_with: ClientWith, services: Services) -> None:
    limit = RateLimit(amount=1, seconds=60)
    path = services.spool.layout.rate_limits
    one, other = (client_with(limiter=RateLimiter(path, limit)) for _ in range(2))
    for client in (one, other, one):
        client.simulate_post("/api/generate", json={"model_id": "tiny", "prompt": "x"})
    told, told_by_other = metrics(one), metrics(other)
    for found in (told, told_by_other):
        del found["cyberimage_free_bytes"]  # others write to this disk, too
        for name in [name for name in found if name.startswith("cyberimage_http_request_seconds")]:
            del found[name]  # being asked counts
    assert told == told_by_other
    assert metrics(one)["cyberimage_rate_limited_requests_total"]["jobs",] == 2


def test_metrics_without_an_index_say_so(client: TestClient, services: Services) -> None:
    for path in (*services.spool.layout.spool.glob("index.*"), *services.store.layout.outputs.glob("index.*")):
        path.unlink()
    found = metrics(client)
    assert found["cyberimage_index_up"][()] == 0
    assert found["cyberimage_free_bytes"][()] > 0
