"""`POST /generate`: acceptance, repetition, the rate limit, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import Result, TestClient

from core.settings import RateLimit, Settings
from core.strict_json import SIZE_LIMIT
from http_api.access import digest_of
from jobs.claims import claim
from jobs.pictures import LONGEST_DATA_URL
from jobs.schema import State
from jobs.spool import Spool
from service.rate_limit import RateLimiter
from service.services import Services
from tests.lock_holder import stopped_holder

BODY: dict[str, Any] = {"model_id": "tiny", "prompt": "a castle"}
ClientWith = Callable[..., TestClient]


def post(client: TestClient, body: Any = None, **headers: str) -> Result:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.simulate_post("/api/generate", json=BODY if body is None else body, headers=named)


def stored(services: Services) -> list[str]:
    return sorted(services.spool.ids(State.PENDING))


def test_the_answer_has_the_form_of_the_spec(client: TestClient, services: Services) -> None:
    answer = post(client, {**BODY, "settings": {"num_images": 2, "seed": 4}})
    assert answer.status_code == 200
    job_id = answer.json["job_id"]
    assert answer.json == {
        "job_id": job_id,
        "status": "pending",
        "num_images": 2,
        "message": "Image generation job submitted successfully for 2 image(s)",
        "seed": 4,
        "warnings": [],
    }
    assert answer.headers["location"] == f"/api/status/{job_id}"
    assert stored(services) == [job_id]


@pytest.mark.parametrize(
    ("trusted", "sent", "expected"),
    [
        (0, "/ai", ""),
        (1, "/ai", "/ai"),
        (1, "/ai/", "/ai"),
        (2, "/tools/ai-1", "/tools/ai-1"),
        (1, "/", ""),
        (1, "//evil.example", ""),
        (1, "https://evil.example", ""),
        (1, '/"', ""),
    ],
)
def test_addresses_begin_with_the_prefix_of_a_trusted_proxy(
    client_with: ClientWith, services: Services, trusted: int, sent: str, expected: str
) -> None:
    client = client_with(settings=replace(services.settings, trusted_proxies=trusted))
    headers = {"X-Forwarded-Prefix": sent}
    answer = client.simulate_post("/api/generate", json=BODY, headers=headers)
    job_id = answer.json["job_id"]
    assert answer.headers["location"] == f"{expected}/api/status/{job_id}"
    held = claim(services.spool, job_id)
    assert held is not None
    services.spool.write_preview(job_id, b"RIFF")
    url = client.simulate_get(f"/api/status/{job_id}", headers=headers).json["preview_url"]
    assert url.startswith(f"{expected}/api/jobs/{job_id}/preview?version=")
    held.complete()
    again = client.simulate_post(f"/api/jobs/{job_id}/retry", headers=headers)
    assert again.headers["location"] == f"{expected}/api/status/{again.json['job_id']}"


def test_a_warning_of_the_validator_is_answered(client: TestClient) -> None:
    assert "callback" in post(client, {**BODY, "settings": {"callback": "f"}}).json["warnings"][0]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b" ", "empty"),
        (b"{", "not valid JSON"),
        (b"[]", "JSON object"),
        (b'{"model_id": "tiny"}', "Missing required fields: prompt"),
        (b'{"model_id": "tiny", "prompt": ""}', "prompt"),
        (b'{"model_id": "tiny", "prompt": "a", "prompt": "b"}', "twice"),
        (b'{"model_id": "tiny", "prompt": "a", "settings": {"guidance_scale": NaN}}', "NaN"),
        (b'{"model_id": "tiny", "prompt": "a", "settings": {"guidance_scale": 1e999}}', "1e999"),
        (b'{"model_id": "tiny", "prompt": "a", "settings": {"width": 65}}', "settings.width is 65"),
        (b'{"model_id": "tiny", "prompt": "a", "settings": {"num_images": 9}}', "settings.num_images is 9"),
        (b'{"model_id": "tiny", "prompt": "a", "settings": {"num_images": true}}', "settings.num_images is true"),
        (b'{"model_id": "tiny", "prompt": "a", "widht": 3}', "widht"),
        (b'{"model_id": "nix", "prompt": "a"}', "nix"),
        (b'{"model_id": "far", "prompt": "a"}', "not on this machine"),
        (b"\xff", "UTF-8"),
        (b'{"a":' * 12_000, "nested"),
        (b'{"model_id": "tiny", "prompt": "\\ud800"}', "surrogate"),
    ],
)
def test_bad_bodies_are_named(client: TestClient, services: Services, raw: bytes, words: str) -> None:
    answer = client.simulate_post("/api/generate", body=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json["status"] == "error"
    assert words in answer.json["message"]
    assert stored(services) == []


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
def test_only_json_is_read(client: TestClient, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    assert client.simulate_post("/api/generate", body=json.dumps(BODY), headers=headers).status_code == 415


def test_a_charset_after_the_type_is_fine(client: TestClient) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert client.simulate_post("/api/generate", body=json.dumps(BODY), headers=headers).status_code == 200


def test_a_body_over_the_limit_is_refused_unread(client: TestClient) -> None:
    limit = SIZE_LIMIT + 2 * LONGEST_DATA_URL
    answer = client.simulate_post("/api/generate", body="x" * (limit + 1), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert str(limit + 1) in answer.json["message"]


def test_a_large_body_is_refused_where_none_is_needed(client: TestClient) -> None:
    answer = client.simulate_post("/api/enrich", body="x" * 65_537, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_an_unknown_query_parameter_is_refused(client: TestClient) -> None:
    assert client.simulate_post("/api/generate", json=BODY, params={"dryrun": "1"}).status_code == 400


# --- Idempotency-Key ------------------------------------------------------------------------------


def test_a_repeated_key_gives_the_same_job(client: TestClient, services: Services) -> None:
    first, second = (post(client, Idempotency_Key="k-1") for _ in range(2))
    assert first.json == second.json
    assert stored(services) == [first.json["job_id"]]


def test_a_key_outlives_the_end_of_its_job(client: TestClient, services: Services, begin: Callable[..., Any]) -> None:
    job_id = post(client, Idempotency_Key="k-1").json["job_id"]
    begin(job_id).complete()
    again = post(client, Idempotency_Key="k-1")
    assert (again.json["job_id"], again.json["status"]) == (job_id, "completed")
    assert stored(services) == []


def test_a_key_is_not_for_another_request(client: TestClient, services: Services) -> None:
    post(client, Idempotency_Key="k-1")
    answer = post(client, {**BODY, "prompt": "a house"}, Idempotency_Key="k-1")
    assert answer.status_code == 422
    assert len(stored(services)) == 1


def test_a_repeated_key_is_charged_once(client_with: ClientWith, services: Services) -> None:
    client = client_with(limiter=limiter(services, 2))
    assert [post(client, Idempotency_Key="k").status_code for _ in range(4)] == [200] * 4
    assert [post(client).status_code for _ in range(2)] == [200, 429]


def test_a_key_is_the_clients_own(client_with: ClientWith, services: Services) -> None:
    """Two users behind a proxy both call theirs `1`."""
    client = client_with(settings=replace(services.settings, trusted_proxies=1))
    answers = {
        address: [post(client, Idempotency_Key="1", X_Forwarded_For=address) for _ in range(2)]
        for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1")
    }
    assert all(first.json == second.json for first, second in answers.values())
    assert len(stored(services)) == 3
    # An IPv6 client may come back under another address of its network.
    again = post(client, Idempotency_Key="1", X_Forwarded_For="2001:db8::2")
    assert again.json == answers["2001:db8::1"][0].json


def test_a_key_goes_with_the_api_key_wherever_it_comes_from(
    client_with: ClientWith, services: Services, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("".join(f"{name} submit {digest_of(name)}\n" for name in ("one", "two")), encoding="utf-8")
    client = client_with(settings=replace(services.settings, trusted_proxies=1, api_keys=keys))
    answers = [
        post(client, Idempotency_Key="1", X_Api_Key=key, X_Forwarded_For=address)
        for key, address in (("one", "192.0.2.1"), ("one", "192.0.2.2"), ("two", "192.0.2.1"))
    ]
    assert answers[0].json == answers[1].json != answers[2].json
    assert len(stored(services)) == 2


def test_a_key_that_a_stopped_process_is_using_is_told_to_try_again(
    client_with: ClientWith, services: Services
) -> None:
    client = client_with(limiter=limiter(services, 2))
    job_id = post(client, Idempotency_Key="k").json["job_id"]
    services.spool.path(State.PENDING, job_id).rename(services.spool.layout.data / "elsewhere")
    with stopped_holder(services.spool.layout.lock(job_id)):
        answer = post(client, Idempotency_Key="k")
    assert (answer.status_code, answer.json["error_type"], answer.headers["retry-after"]) == (503, "id_busy", "2")
    again = post(client, Idempotency_Key="k")
    assert (again.status_code, again.json["job_id"]) == (200, job_id)
    assert post(client).status_code == 429  # the refused one was not charged


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9"])
def test_an_odd_key_is_refused(client: TestClient, key: str) -> None:
    assert post(client, Idempotency_Key=key).status_code == 400


# --- The rate limit -------------------------------------------------------------------------------


def limiter(services: Services, amount: int, now: Callable[[], float] = lambda: 1000.0) -> RateLimiter:
    return RateLimiter(services.spool.layout.rate_limits, RateLimit(amount=amount, seconds=3600), now)


def test_the_limit_tells_when_to_try_again(client_with: ClientWith, services: Services) -> None:
    clock = iter([1000.0, 1600.0, 2000.0, 4600.5])
    client = client_with(limiter=limiter(services, 2, lambda: next(clock)))
    answers = [post(client) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 200]
    assert answers[2].headers["retry-after"] == "2600"
    assert answers[2].json["retry_after"] == 2600
    assert "2600 seconds" in answers[2].json["message"]
    assert len(stored(services)) == 3


@pytest.mark.parametrize(
    ("peer", "headers", "proxies", "codes"),
    [
        ("127.0.0.1", {}, 0, {200}),
        ("::1", {}, 0, {200}),
        ("192.0.2.1", {}, 0, {200, 429}),
        ("127.0.0.1", {}, 1, {200}),
        ("127.0.0.1", {"X_Forwarded_For": "192.0.2.1"}, 0, {200, 429}),
        ("127.0.0.1", {"X_Forwarded_For": "127.0.0.1"}, 1, {200, 429}),
        ("127.0.0.1", {"Via": "1.1 proxy"}, 0, {200, 429}),
    ],
)
def test_the_default_limit_is_for_other_machines(
    client_with: ClientWith, services: Services, peer: str, headers: dict[str, str], proxies: int, codes: set[int]
) -> None:
    default = Settings().rate_limit
    assert default is not None
    client = client_with(
        settings=replace(services.settings, trusted_proxies=proxies),
        limiter=RateLimiter(services.layout.rate_limits, default),
    )
    answers = [
        client.simulate_post(
            "/api/generate",
            json=BODY,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            extras={"REMOTE_ADDR": peer},
        )
        for _ in range(default.amount + 1)
    ]
    assert {answer.status_code for answer in answers} == codes


def test_refused_requests_are_not_charged(client_with: ClientWith, services: Services) -> None:
    client = client_with(limiter=limiter(services, 1))
    assert post(client, {**BODY, "prompt": ""}).status_code == 400
    assert post(client, {**BODY, "model_id": "far"}).status_code == 400
    assert post(client).status_code == 200


def test_a_full_queue_is_not_charged(client_with: ClientWith, services: Services) -> None:
    counting = limiter(services, 2)
    client = client_with(spool=Spool(services.spool.layout, max_pending=1), limiter=counting)
    assert post(client).status_code == 200
    answer = post(client)
    assert (answer.status_code, answer.json["error_type"]) == (503, "queue_full")
    assert int(answer.headers["retry-after"]) > 0
    assert counting.charge("127.0.0.1")


def test_a_disk_without_room_is_503_and_not_charged(client_with: ClientWith, services: Services) -> None:
    counting = limiter(services, 1)
    client = client_with(spool=Spool(services.spool.layout, reserve_bytes=1 << 60), limiter=counting)
    answer = post(client)
    assert (answer.status_code, answer.json["error_type"]) == (503, "storage")
    assert answer.headers["retry-after"]
    assert counting.charge("127.0.0.1")


def test_an_error_of_the_disk_is_503_and_not_charged(
    client_with: ClientWith, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_with(limiter=limiter(services, 1))

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    assert post(client).status_code == 503
    monkeypatch.undo()
    assert stored(services) == []
    assert post(client).status_code == 200
