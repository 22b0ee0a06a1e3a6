"""The log: one line for each expected error, and who changed what."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient

from http_api.access import digest_of
from jobs.claims import Claim
from outputs.sidecar import Sidecar
from service.services import Services

ClientWith = Callable[..., TestClient]


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What was logged at info and above, with its context, and forgotten now."""
    found = [
        vars(record) | {"text": record.getMessage()} for record in caplog.records if record.levelno >= logging.INFO
    ]
    caplog.clear()
    return found


def test_the_log_tells_who_changed_what(
    client_with: ClientWith,
    services: Services,
    submit: Callable[..., str],
    begin: Callable[[str], Claim],
    draw: Callable[..., Sidecar],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"ada admin {digest_of('k')}\n", encoding="utf-8")
    client = client_with(settings=replace(services.settings, trusted_proxies=1, api_keys=keys))
    job = submit()
    image = draw(begin(submit()).job).id
    caplog.set_level(logging.INFO)
    for method, path in (("POST", f"/api/jobs/{job}/cancel"), ("DELETE", f"/api/image/{image}")):
        headers = {"X-Api-Key": "k", "X-Forwarded-For": "2001:db8::7"}
        assert client.simulate_request(method=method, path=path, headers=headers).status_code == 200
        (line,) = lines(caplog)
        assert (line["text"], line["key"], line["client"]) == (f"{method} {path} 200 OK", "ada", "2001:db8::7")


def test_each_expected_error_is_one_line_without_a_traceback(
    client: TestClient, submit: Callable[..., str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit()
    body = {"model_id": "tiny", "prompt": "x"}
    client.simulate_post(f"/api/jobs/{job}/cancel")
    caplog.set_level(logging.INFO)
    requests: list[tuple[str, str, Any, int]] = [
        ("POST", "/api/generate", {"model_id": "tiny"}, 400),
        ("DELETE", "/api/image/nobody", None, 404),
        ("POST", "/api/jobs/nobody/cancel", None, 404),
        ("PUT", "/api/generate", body, 405),
        ("POST", "/api/enrich", {"prompt": ""}, 400),
    ]
    for method, path, sent, status in requests:
        answer = client.simulate_request(method=method, path=path, json=sent)
        assert answer.status_code == status
        (line,) = lines(caplog)
        assert (line["levelname"], line["exc_info"]) == ("INFO", None), line

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    assert client.simulate_post("/api/generate", json=body).status_code == 503
    (line,) = lines(caplog)
    assert (line["levelname"], line["exc_info"]) == ("ERROR", None)
    assert "Input/output error" in line["cause"]


def test_a_read_that_fails_is_one_line_with_its_cause(
    client: TestClient,
    submit: Callable[..., str],
    begin: Callable[[str], Claim],
    draw: Callable[..., Sidecar],
    services: Services,
    caplog: pytest.LogCaptureFixture,
) -> None:
    image = draw(begin(submit()).job).id
    services.store.path(image).write_bytes(b"cut")
    caplog.set_level(logging.INFO)
    assert client.simulate_get(f"/api/get_image/{image}").status_code == 500
    found = lines(caplog)
    assert [line["name"] for line in found] == [
        "outputs.store",
        "http_api.server.middleware",
    ]
    line = found[-1]
    assert (line["levelname"], line["text"]) == ("ERROR", f"GET /api/get_image/{image} 500 Internal Server Error")
    assert image in line["cause"]
