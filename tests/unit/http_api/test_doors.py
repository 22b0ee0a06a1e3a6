"""What all doors share: the form of their errors, whatever went wrong and wherever; keys; pages of other sites."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient

from core.errors import SettingsError
from core.settings import Settings
from http_api.access import digest_of
from http_api.app import create_app
from http_api.server import places
from jobs.spool import Spool
from service.services import Services

Drawing = Callable[[], Any]
CALLS = {"/v1": "/v1/images/generations", "/sdapi/v1": "/sdapi/v1/txt2img"}
BODY = {"prompt": "a castle"}
every_door = pytest.mark.parametrize("prefix", CALLS)


def sentence(prefix: str, answer: Any) -> str:
    """What an error says, if it has the whole form of its door."""
    error = answer.json
    if prefix == "/v1":
        assert error.keys() == {"error"}
        assert error["error"].keys() == {"message", "type", "param", "code"}
        assert answer.headers["x-should-retry"] in ("true", "false")
        return str(error["error"]["message"])
    assert error.keys() == {"error", "detail", "body", "errors"}
    assert error["detail"] == error["errors"]
    return str(error["detail"])


@every_door
def test_what_is_nowhere_is_told_in_the_form_of_the_door(client: TestClient, prefix: str) -> None:
    for path in (prefix, f"{prefix}/nowhere", f"{prefix}/a/b/c"):
        answer = client.simulate_get(path)
        assert answer.status_code == 404
        assert "There is nothing at" in sentence(prefix, answer)
    assert client.simulate_get(f"{prefix}x").json["status"] == "error"


@every_door
def test_wrong_methods_types_and_bodies_are_told_in_the_form_of_the_door(client: TestClient, prefix: str) -> None:
    path, wrong = CALLS[prefix], 400 if prefix == "/v1" else 422
    json_type = {"Content-Type": "application/json"}
    assert "allowed: POST" in sentence(prefix, client.simulate_get(path))
    sent = {
        415: client.simulate_post(path, body=b"x", headers={"Content-Type": "text/plain"}),
        411: client.simulate_post(path, headers=json_type | {"Transfer-Encoding": "chunked"}, body=b"{}"),
        413: client.simulate_post(path, headers=json_type | {"Content-Length": str(50 << 20)}, body=b"{}"),
        wrong: client.simulate_post(path, headers=json_type, body=b"{"),
    }
    for status, answer in sent.items():
        assert answer.status_code == status
        assert sentence(prefix, answer)


@every_door
def test_what_cannot_be_taken_now_says_when_to_come_back(
    full_client: TestClient, prefix: str, monkeypatch: pytest.MonkeyPatch, client: TestClient
) -> None:
    full = full_client.simulate_post(CALLS[prefix], json=BODY)
    monkeypatch.setattr(places, "connections", lambda: 0)
    crowded = client.simulate_post(CALLS[prefix], json=BODY)
    for answer, word in ((full, "queue is full"), (crowded, "Too many")):
        assert answer.status_code == 503
        assert word in sentence(prefix, answer)
        assert answer.headers["retry-after"]
        assert answer.headers.get("x-should-retry", "true") == "true"


@every_door
def test_a_server_whose_data_is_missing_says_so(client: TestClient, services: Services, prefix: str) -> None:
    services.layout.state("pending")
    Path(services.layout.state("pending")).rmdir()
    answer = client.simulate_post(CALLS[prefix], json=BODY)
    assert answer.status_code == 503
    assert "data directory" in sentence(prefix, answer)


@every_door
def test_an_internal_error_is_told_without_its_insides(
    client: TestClient, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: Any) -> Any:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(Spool, "check_capacity", broken)
    answer = client.simulate_post(CALLS[prefix], json=BODY)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "request id" in sentence(prefix, answer)
    assert answer.headers.get("x-should-retry", "false") == "false"


@every_door
def test_parameters_that_are_not_known_are_ignored(client: TestClient, prefix: str) -> None:
    path = {"/v1": "/v1/models", "/sdapi/v1": "/sdapi/v1/progress"}[prefix]
    assert client.simulate_get(path, params={"api-version": "2026-01-01", "x": "y"}).status_code == 200
    assert client.simulate_get("/api/models", params={"x": "y"}).status_code == 400


# --- Keys -----------------------------------------------------------------------------------------


@pytest.fixture
def guarded(services: Services, tmp_path: Path) -> TestClient:
    """An application with a key that may read and one that may submit."""
    keys = tmp_path / "keys"
    keys.write_text(f"reader read {digest_of('r')}\nsender read,submit {digest_of('s')}\n", encoding="utf-8")
    return TestClient(create_app(replace(services, settings=replace(services.settings, api_keys=keys))))


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@every_door
@pytest.mark.parametrize("headers", [{"Authorization": "Bearer s"}, {"X-Api-Key": "s"}, basic("anybody", "s")])
def test_a_key_may_come_in_each_way_that_clients_know(
    guarded: TestClient, drawing: Drawing, prefix: str, headers: dict[str, str]
) -> None:
    with drawing():
        assert guarded.simulate_post(CALLS[prefix], json=BODY, headers=headers).status_code == 200


@every_door
def test_without_a_key_or_with_one_for_less_nothing_is_drawn(guarded: TestClient, prefix: str) -> None:
    none = guarded.simulate_post(CALLS[prefix], json=BODY)
    assert (none.status_code, "API key" in sentence(prefix, none)) == (401, True)
    assert none.headers["www-authenticate"].startswith({"/v1": "Bearer", "/sdapi/v1": "Basic"}[prefix])
    less = guarded.simulate_post(CALLS[prefix], json=BODY, headers={"X-Api-Key": "r"})
    assert (less.status_code, "scope" in sentence(prefix, less)) == (403, True)


@pytest.mark.parametrize(
    "header", ["Basic", "Basic x", "Basic !!!", "Basic " + base64.b64encode(b"\xff:\xff").decode()]
)
def test_basic_credentials_that_cannot_be_read_are_no_key(guarded: TestClient, header: str) -> None:
    assert guarded.simulate_get("/api/queue", headers={"Authorization": header}).status_code == 401


# --- Pages of other sites -------------------------------------------------------------------------

PAGE = "https://chat.example"


@pytest.fixture
def shared(services: Services) -> TestClient:
    """An application that pages of PAGE may use."""
    changed = replace(services.settings, allowed_origins=(PAGE,))
    return TestClient(create_app(replace(services, settings=changed)))


@pytest.mark.parametrize("path", ["/api/generate", "/v1/images/generations", "/sdapi/v1/txt2img", "/api/jobs/x/cancel"])
def test_a_preflight_of_a_named_origin_allows_what_the_row_serves(shared: TestClient, path: str) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-stainless-os"}
    answer = shared.simulate_options(path, headers={"Origin": PAGE, **asked})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "authorization,x-stainless-os"
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://chat.example", f"{PAGE}:8443", ""])
def test_other_origins_are_told_nothing_and_may_not_write(shared: TestClient, origin: str) -> None:
    headers = {"Origin": origin} if origin else {"Sec-Fetch-Site": "cross-site"}
    answers = [
        shared.simulate_get("/api/models", headers=headers),
        shared.simulate_options("/api/generate", headers=headers | {"Access-Control-Request-Method": "POST"}),
        shared.simulate_post("/api/generate", json={"model_id": "tiny", "prompt": "x"}, headers=headers),
    ]
    assert answers[2].status_code == 403
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_named_origin_reads_answers_and_errors_and_writes(shared: TestClient) -> None:
    headers = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}
    body = {"model_id": "tiny", "prompt": "x"}
    for answer, status in (
        (shared.simulate_get("/api/models", headers=headers), 200),
        (shared.simulate_get("/v1/nowhere", headers=headers), 404),
        (shared.simulate_post("/api/generate", json=body, headers=headers), 200),
    ):
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, PAGE)
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "X-Request-Id" in answer.headers["access-control-expose-headers"]


def test_by_default_no_origin_is_allowed(client: TestClient) -> None:
    answer = client.simulate_get("/api/models", headers={"Origin": PAGE})
    assert not {"access-control-allow-origin", "vary"} & answer.headers.keys()


@pytest.mark.parametrize(
    "value",
    [
        "*",
        "chat.example",
        "https://chat.example/",
        "https://chat.example:443",
        "ftp://x.example",
        "https://",
        ",",
        "null",
    ],
)
def test_what_is_no_origin_is_refused_at_the_start(value: str) -> None:
    with pytest.raises(SettingsError, match="CYBERIMAGE_ALLOWED_ORIGINS"):
        Settings.from_environment({"CYBERIMAGE_ALLOWED_ORIGINS": value})


def test_origins_are_read_as_browsers_write_them() -> None:
    found = Settings.from_environment({"CYBERIMAGE_ALLOWED_ORIGINS": "https://Chat.example, http://localhost:3000"})
    assert found.allowed_origins == ("https://chat.example", "http://localhost:3000")
