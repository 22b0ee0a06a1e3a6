"""API keys, host names, and not being open by accident."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient

from core.errors import SettingsError
from core.settings import Settings
from http_api.access import Scope, check_exposure, digest_of
from http_api.app import ROUTES, create_app
from http_api.route import Operation, Route
from service.services import Services

BODY = {"model_id": "tiny", "prompt": "a castle"}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Three keys: `r` may read, `s` read and submit, `a` everything."""
    path = tmp_path / "keys"
    lines = [f"reader read {digest_of('r')}", f"sender read,submit {digest_of('s')}", f"boss admin {digest_of('a')}"]
    path.write_text("# people\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def guarded(services: Services, keys: Path) -> TestClient:
    """An application that demands keys."""
    return TestClient(create_app(replace(services, settings=replace(services.settings, api_keys=keys))))


def statuses(client: TestClient, key: str) -> tuple[int, int, int]:
    """What reading, submitting and resetting answer."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return (
        client.simulate_get("/api/queue", headers=headers).status_code,
        client.simulate_post("/api/generate", json=BODY, headers=headers).status_code,
        client.simulate_post("/api/reset_queue", headers=headers).status_code,
    )


@pytest.mark.parametrize(
    ("key", "expected"),
    [("", (401,) * 3), ("x", (401,) * 3), ("r", (200, 403, 403)), ("s", (200, 200, 403)), ("a", (200,) * 3)],
)
def test_a_key_opens_what_its_scopes_say(guarded: TestClient, key: str, expected: tuple[int, int, int]) -> None:
    assert statuses(guarded, key) == expected


ROWS = [(route, row) for route in ROUTES for row in route.operations if not route.path.endswith("/events")]


@pytest.mark.parametrize(("route", "row"), ROWS, ids=[route.operation_id(row) for route, row in ROWS])
def test_every_operation_asks_for_the_scope_of_its_row(guarded: TestClient, route: Route, row: Operation) -> None:
    def status(method: str, key: str) -> int:
        path = re.sub(r"{\w+}", "x", route.path)
        headers = {"X-Api-Key": key, "Content-Type": "application/json"}
        return int(guarded.simulate_request(method, path, headers=headers, body=b"[]").status_code)

    refused = {Scope.OPEN: "", Scope.ANY: "", Scope.READ: "", Scope.SUBMIT: "r", Scope.ADMIN: "rs"}[row.scope]
    for method in (row.method, "HEAD") if row.is_reading else (row.method,):
        for key in "rsa":
            assert (status(method, key) == 403) == (key in refused), (method, key)
        assert (status(method, "") == 401) == (row.scope is not Scope.OPEN)


@pytest.mark.parametrize(("key", "scopes"), [("r", ["read"]), ("s", None), ("a", ["read", "submit", "admin"])])
def test_a_key_is_told_what_it_may_do(guarded: TestClient, key: str, scopes: list[str] | None) -> None:
    answer = guarded.simulate_get("/api/me", headers={"X-Api-Key": key})
    assert answer.json["scopes"] == scopes if scopes else "submit" in answer.json["scopes"]
    assert answer.json["key"]


def test_what_is_not_served_leads_nowhere_with_and_without_a_key(guarded: TestClient) -> None:
    for headers in ({}, {"X-Api-Key": "a"}):
        assert guarded.simulate_get("/api/nowhere", headers=headers).status_code == 404
        assert guarded.simulate_delete("/api/models", headers=headers).status_code == 405
        answer = guarded.simulate_options("/api/models", headers=headers)
        assert (answer.status_code, answer.headers["allow"]) == (200, "GET, HEAD")


def test_a_refusal_has_the_error_form_and_says_how(guarded: TestClient) -> None:
    answer = guarded.simulate_get("/api/gallery")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "X-Api-Key" in answer.json["message"]


def test_the_other_header_works_too(guarded: TestClient) -> None:
    assert guarded.simulate_get("/api/queue", headers={"X-Api-Key": "r"}).status_code == 200


def test_deleting_needs_admin(guarded: TestClient) -> None:
    answers = [guarded.simulate_delete("/api/image/x", headers={"X-Api-Key": key}).status_code for key in "rsa"]
    assert answers == [403, 403, 404]


@pytest.mark.parametrize("path", ["/", "/docs", "/health/live", "/api/openapi.json", "/static/docs.js"])
def test_what_is_open_needs_no_key(guarded: TestClient, path: str) -> None:
    assert guarded.simulate_get(path).status_code == 200


def test_a_withdrawn_key_is_refused_without_a_restart(guarded: TestClient, keys: Path) -> None:
    assert statuses(guarded, "a")[0] == 200
    keys.write_text(f"new admin {digest_of('b')}\n", encoding="utf-8")
    assert (statuses(guarded, "a")[0], statuses(guarded, "b")[0]) == (401, 200)


@pytest.mark.parametrize(
    "ruin", [lambda path: path.unlink(), lambda path: path.write_text("nonsense", encoding="utf-8")]
)
def test_without_a_usable_file_nobody_is_let_in(guarded: TestClient, keys: Path, ruin: Callable[[Path], None]) -> None:
    assert statuses(guarded, "a")[0] == 200
    ruin(keys)
    assert statuses(guarded, "a")[0] == 401


@pytest.mark.parametrize("allowed", ["::1", "[::1]", "0:0:0:0:0:0:0:1"])
@pytest.mark.parametrize("host", ["images.example", "images.example:5050", "IMAGES.example", "[::1]:5050", "[::1]"])
def test_only_known_host_names_are_answered(services: Services, host: str, allowed: str) -> None:
    settings = replace(services.settings, allowed_hosts=("images.example", allowed))
    client = TestClient(create_app(replace(services, settings=settings)))
    assert client.simulate_get("/api/models", headers={"Host": host}).status_code == 200
    assert client.simulate_get("/api/models", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 400),
        ({"host": "::1"}, 400),
        ({"trusted_proxies": 1}, 200),
        ({"trusted_proxies": 1, "allowed_hosts": ("pictures.example",)}, 400),
        ({"host": "0.0.0.0"}, 200),
    ],
)
def test_no_foreign_name_leads_to_a_server_for_this_machine(
    services: Services, changes: dict[str, Any], expected: int
) -> None:
    settings = replace(services.settings, **{"allowed_hosts": (), **changes})
    client = TestClient(create_app(replace(services, settings=settings)))
    answer = client.simulate_get("/api/models", headers={"Host": "rebound.example:5050"})
    assert answer.status_code == expected
    if not settings.allowed_hosts:
        for host in ("localhost", "127.0.0.1:80", "127.9.9.9", "[::1]:5050"):
            assert client.simulate_get("/api/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:5050", "localhost", "[::1]:5050"])
def test_monitors_may_ask_by_loopback_whatever_the_host_names(services: Services, host: str) -> None:
    settings = replace(services.settings, allowed_hosts=("pictures.example",))
    client = TestClient(create_app(replace(services, settings=settings)))

    def status(path: str, name: str = host) -> int:
        return int(client.simulate_get(path, headers={"Host": name}).status_code)

    assert (status("/health/live"), status("/health/ready"), status("/metrics")) == (200, 503, 200)
    assert (status("/"), status("/api/models")) == (400, 400)
    assert status("/health/live", "evil.example") == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_decision(host: str) -> None:
    check_exposure(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "images.example"])
def test_other_addresses_need_keys_or_a_decision(host: str, keys: Path) -> None:
    with pytest.raises(SettingsError, match="CYBERIMAGE_ALLOW_OPEN"):
        check_exposure(Settings(host=host))
    check_exposure(Settings(host=host, allow_open=True))
    check_exposure(Settings(host=host, api_keys=keys))


@pytest.mark.parametrize(
    "text", ["name read", "name fly " + "0" * 64, "na/me read " + "0" * 64, "name read " + "G" * 64]
)
def test_a_bad_line_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# ok\n{text}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="keys:2"):
        check_exposure(Settings(api_keys=path))
    with pytest.raises(SettingsError, match="cannot be read"):
        check_exposure(Settings(api_keys=tmp_path / "nix"))
    path.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="not UTF-8"):
        check_exposure(Settings(api_keys=path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_read_over(services: Services, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "keys"
    path.write_text(f"boss admin {digest_of('a')}\n", encoding=encoding)
    settings = replace(services.settings, api_keys=path)
    check_exposure(settings)
    assert statuses(TestClient(create_app(replace(services, settings=settings))), "a") == (200,) * 3


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le"])
def test_a_file_in_another_encoding_says_which(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "keys"
    path.write_text(f"boss admin {digest_of('a')}\n", encoding=encoding)
    with pytest.raises(SettingsError, match="is UTF-16 or UTF-32 text; save it as UTF-8"):
        check_exposure(Settings(api_keys=path))
