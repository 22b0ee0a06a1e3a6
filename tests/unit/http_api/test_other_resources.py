"""Models, queue, reset, enrich; and what holds for every request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from falcon.testing import TestClient

from core.settings import RateLimit, Settings
from enrich.enricher import BuiltInEnricher, OpenAIEnricher
from http_api.server.client_address import client_address
from jobs.claims import Claim
from jobs.schema import JobError, State
from service.rate_limit import Limited, RateLimiter
from service.services import Services, build_services
from tests.conftest import REPOSITORY

Submit = Callable[..., str]
Begin = Callable[[str], Claim]


def test_models_tell_what_they_can_do(client: TestClient) -> None:
    answer = client.simulate_get("/api/models").json
    assert answer["default"] == "tiny"
    tiny = answer["models"]["tiny"]
    assert (tiny["id"], tiny["description"], tiny["available"]) == ("example/tiny", "for tests", True)
    assert tiny["defaults"]["num_inference_steps"] == 4
    assert tiny["limits"]["max_side"] == 128
    assert tiny["capabilities"]["negative_prompt"] is True
    assert answer["models"]["far"]["available"] is False


def test_the_queue_counts_jobs_by_state(client: TestClient, submit: Submit, begin: Begin, services: Services) -> None:
    ids = [submit() for _ in range(5)]
    begin(ids[0]).complete()
    begin(ids[1]).fail(JobError(type="x", message="y"))
    services.spool.cancel(ids[2])
    held = begin(ids[3])
    counts = {"pending": 1, "processing": 1, "completed": 1, "failed": 1, "cancelled": 1, "total": 5}
    assert client.simulate_get("/api/queue").json == {**counts, "queue_size": 1, "paused": False, "eta_seconds": None}
    detailed = client.simulate_get("/api/queue", params={"detailed": "true"}).json
    assert detailed["recent_24h"] == counts
    assert detailed["models"] == {"tiny": counts}
    assert detailed["failure_rate"] == 50.0
    assert detailed["avg_processing_time_seconds"] >= 0
    held.abandon()


@pytest.mark.parametrize("query", ["detailed=yes", "detailed=", "detail=true"])
def test_bad_switches_are_named(client: TestClient, query: str) -> None:
    assert client.simulate_get("/api/queue", query_string=query).status_code == 400


def test_reset_touches_dead_jobs_only(client: TestClient, submit: Submit, begin: Begin, services: Services) -> None:
    dead, alive = begin(submit()), begin(submit())
    dead.abandon()
    answer = client.simulate_post("/api/reset_queue")
    assert answer.json == {
        "status": "success",
        "reset_count": 1,
        "message": "Reset 1 stalled jobs to pending status",
    }
    assert services.spool.find(dead.job.id)[0] is State.PENDING
    assert services.spool.find(dead.job.id)[1].attempts == 1
    assert services.spool.find(alive.job.id)[0] is State.PROCESSING
    alive.abandon()


@pytest.mark.parametrize("fault", [PermissionError(13, "Permission denied", "/secret"), OSError(116, "Stale handle")])
def test_a_data_directory_that_may_not_be_used_is_a_fault_of_the_storage(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch, fault: OSError
) -> None:
    def refuse(*_: object) -> None:
        raise fault

    monkeypatch.setattr("core.files.read", refuse)
    answer = client.simulate_get("/api/status/castle")
    assert (answer.status_code, answer.json["error_type"]) == (503, "storage")
    assert "secret" not in answer.text


def test_reset_recovers_what_lies_beside_unreadable_jobs(
    client: TestClient, submit: Submit, begin: Begin, services: Services
) -> None:
    job_id = submit()
    begin(job_id).abandon()
    for name, content in (("newer", b'{"schema": 2}'), ("garbage", b"\xff"), ("zz", b"")):
        services.spool.path(State.PROCESSING, name).write_bytes(content)
    assert client.simulate_post("/api/reset_queue").json["reset_count"] == 1
    assert client.simulate_post("/api/reset_queue").json["reset_count"] == 0
    assert list(services.spool.ids(State.PROCESSING)) == ["newer"]
    assert client.simulate_get("/api/status/garbage").status_code == 500
    assert client.simulate_get("/api/status/newer").status_code == 409


def test_enrich_keeps_the_words(client: TestClient) -> None:
    answer = client.simulate_post("/api/enrich", json={"prompt": "a castle on a hill", "style": "fantasy"}).json
    assert (answer["original_prompt"], answer["style"], answer["source"]) == (
        "a castle on a hill",
        "fantasy",
        "built-in",
    )
    assert "castle on a hill" in answer["enriched_prompt"]
    assert len(answer["enriched_prompt"]) > len("a castle on a hill")


def test_enrich_has_a_default_style(client: TestClient) -> None:
    assert client.simulate_post("/api/enrich", json={"prompt": "a castle"}).json["style"] == "cyberpunk"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "  "}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": "x" * 501}, "501"),
        ({"prompt": "x", "style": "baroque"}, "fantasy"),
        ({"prompt": "x", "style": None}, "style"),
        ({"prompt": "x", "style": 3}, "style is 3; it must be one of cyberpunk, anime"),
        ({"prompt": "x", "stile": "fantasy"}, "stile is not a known field (style, perhaps)"),
    ],
)
def test_enrich_names_what_is_wrong(client: TestClient, body: object, word: str) -> None:
    answer = client.simulate_post("/api/enrich", json=body)
    assert answer.status_code == 400
    assert word in answer.json["message"]


@pytest.fixture
def language_server() -> tuple[OpenAIEnricher, list[httpx.Request]]:
    """An enricher whose server answers everything, and what it was asked."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        body = b'{"choices": [{"message": {"content": "a castle, golden light"}}]}'
        return httpx.Response(200, stream=httpx.ByteStream(body))

    enricher = OpenAIEnricher(
        endpoint="http://llm.example",
        model="m",
        api_key="",
        timeout=5,
        fallback=BuiltInEnricher(500),
        transport=httpx.MockTransport(answer),
    )
    return enricher, asked


def test_prompts_that_are_sent_on_are_limited(
    client_with: Callable[..., TestClient],
    services: Services,
    language_server: tuple[OpenAIEnricher, list[httpx.Request]],
) -> None:
    enricher, asked = language_server
    limiter = RateLimiter(
        services.layout.rate_limits, RateLimit(amount=2, seconds=3600), kind=Limited.FORWARDED_PROMPTS
    )
    client = client_with(enricher=enricher, enrich_limiter=limiter)
    refused = [client.simulate_post("/api/enrich", json={"prompt": "x", "style": "baroque"}) for _ in range(3)]
    assert {answer.status_code for answer in refused} == {400}
    answers = [client.simulate_post("/api/enrich", json={"prompt": "a castle"}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429, 429]
    assert len(asked) == 2
    assert answers[-1].json["error_type"] == "rate_limited"
    assert int(answers[-1].headers["retry-after"]) > 3500
    assert "2 forwarded prompts per hour" in answers[-1].json["message"]
    # Jobs are counted apart.
    assert client.simulate_post("/api/generate", json={"model_id": "tiny", "prompt": "x"}).status_code == 200


@pytest.mark.parametrize("endpoint", ["", "http://llm.example"])
def test_only_what_leaves_this_machine_is_limited(tmp_path: Path, endpoint: str) -> None:
    limit = RateLimit(amount=1, seconds=60)
    settings = Settings(
        data=tmp_path / "data",
        catalog=REPOSITORY / "models.toml",
        openai_endpoint=endpoint,
        openai_model="m",
        rate_limit=limit,
    )
    services = build_services(settings)
    services.spool.prepare()
    assert (services.enrich_limiter.charge("192.0.2.1") is not None) == bool(endpoint)
    services.limiter.charge("192.0.2.1")


# --- Every request --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/api", "/api/nix", "/api/status", "/api/status/a/b", "/api/../etc/passwd"])
def test_unknown_addresses_have_the_error_form(client: TestClient, path: str) -> None:
    answer = client.simulate_get(path)
    if path != "/":
        assert answer.status_code == 404
        assert answer.json["status"] == "error"


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/generate"), ("PUT", "/api/models"), ("POST", "/api/queue")])
def test_wrong_methods_are_told_the_right_ones(client: TestClient, method: str, path: str) -> None:
    answer = client.simulate_request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"].split(", ")[0] in answer.json["message"]


def test_an_unforeseen_error_shows_nothing_but_its_id(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(job_id: str) -> None:
        raise ZeroDivisionError("a secret of the house")

    monkeypatch.setattr(services.spool, "find", fail)
    answer = client.simulate_get("/api/status/x", headers={"X-Request-Id": "abc-1"})
    assert answer.status_code == 500
    assert answer.json.keys() == {"status", "message", "request_id"}
    assert answer.json["request_id"] == answer.headers["x-request-id"] == "abc-1"
    assert "secret" not in answer.text
    assert "a secret of the house" in caplog.text
    assert "abc-1" in caplog.text


def test_a_request_id_of_a_stranger_is_not_written_into_the_log(client: TestClient) -> None:
    answer = client.simulate_get("/api/models", headers={"X-Request-Id": "a b\tc"})
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://falconframework.org"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://falconframework.org:80"}, 200),
        ({"Origin": "http://falconframework.org:8080"}, 403),
        ({"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
    ],
)
def test_other_sites_cannot_write(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.simulate_post("/api/reset_queue", headers=headers).status_code == status
    assert client.simulate_get("/api/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("proxies", "host", "forwarded_host", "status"),
    [
        (1, "pictures.example", None, 200),  # nginx's $host has no port
        (1, "pictures.example:8080", None, 200),
        (1, "pictures.example:81", None, 403),
        (1, "evil.example", None, 403),
        (0, "pictures.example", None, 403),
        (1, "127.0.0.1:5050", "pictures.example:8080", 200),
        (1, "127.0.0.1:5050", "pictures.example", 200),
        (1, "127.0.0.1:5050", "pictures.example:8080, evil.example", 403),
        (2, "127.0.0.1:5050", "pictures.example:8080, inner.example", 200),
        (2, "127.0.0.1:5050", "pictures.example:8080", 200),
        (0, "127.0.0.1:5050", "pictures.example:8080", 403),
    ],
)
def test_the_own_page_may_write_through_a_proxy(
    client_with: Callable[..., TestClient],
    services: Services,
    proxies: int,
    host: str,
    forwarded_host: str | None,
    status: int,
) -> None:
    client = client_with(settings=replace(services.settings, trusted_proxies=proxies, allowed_hosts=(host,)))
    headers = {"Host": host, "Origin": "http://pictures.example:8080"}
    headers |= {"X-Forwarded-Host": forwarded_host} if forwarded_host else {}
    assert client.simulate_post("/api/reset_queue", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "expected"),
    [
        ("192.0.2.1", None, 0, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", 0, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9, 198.51.100.7", 1, "198.51.100.7"),
        ("192.0.2.1", "203.0.113.9, 198.51.100.7", 2, "203.0.113.9"),
        ("192.0.2.1", "198.51.100.7", 2, "192.0.2.1"),
        ("2001:db8:1:2:3::4", None, 0, "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", None, 0, "192.0.2.1"),
        ("192.0.2.1", "[2001:db8::1]:4711", 1, "2001:db8::/64"),
        ("192.0.2.1", "198.51.100.7:4711", 1, "198.51.100.7"),
        ("192.0.2.1", "nonsense", 1, "nonsense"),
        ("::1", None, 0, "127.0.0.1"),
        ("::1", "2001:db8::1", 1, "2001:db8::/64"),
    ],
)
def test_the_client_is_whom_a_trusted_proxy_saw(peer: str, forwarded: str | None, proxies: int, expected: str) -> None:
    from falcon import Request
    from falcon.testing import create_environ

    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = Request(create_environ(remote_addr=peer, headers=headers))
    assert client_address(request, proxies).key == expected
