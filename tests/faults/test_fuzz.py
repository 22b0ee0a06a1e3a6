"""Any request to any endpoint gets an answer in its documented form, and never a 500."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import DEFAULT_HOST, TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.settings import Settings
from http_api.app import ROUTES, create_app
from http_api.openapi import query_parameters
from service.services import build_services
from tests.described import check_answer
from tests.faults.hostile import BODY, environment
from tests.faults.table import record
from tests.unit.http_api.test_any_request import ENDLESS, ROWS, sentence_of
from tests.unit.http_api.test_any_request import requests as described_requests

PARAMETERS = {item["name"] for _, operation in ROWS for item in query_parameters(operation.query)}
SETTINGS = ["num_images", "num_inference_steps", "guidance_scale", "height", "width", "seed", "callback", "odd"]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["tiny-sd", "a castle", "..", "\0", "\ud800"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
bodies = st.one_of(
    st.binary(max_size=60),
    anything.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"model_id": st.just("tiny-sd") | scalars, "prompt": st.just("x") | scalars},
        optional={
            "settings": st.dictionaries(st.sampled_from(SETTINGS), scalars | st.integers(0, 600), max_size=4),
            "negative_prompt": scalars,
            "style": scalars,
        },
    ).map(lambda value: json.dumps(value).encode()),
)
ids = st.sampled_from(["{job}", "img_0123456789abcdef0123456789abcdef_1", "..", "%00", "%ff", "x" * 300]) | st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/?#%"), min_size=1, max_size=20
)
paths = st.sampled_from(
    [re.sub(r"{\w+}", "{id}", route.path) for route in ROUTES if not route.path.endswith(ENDLESS)] + ["/{id}"]
)
words = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs"]), max_size=12)
queries = st.dictionaries(
    st.sampled_from([*sorted(PARAMETERS - {"wait"}), "width", "odd"]),
    st.integers(-5, 10**30).map(str) | words | st.sampled_from(["1_0", "\uff11", "true", "0", "1e3", "%00"]),
    max_size=3,
)
headers = st.dictionaries(
    st.sampled_from(
        ["Range", "If-None-Match", "If-Modified-Since", "Idempotency-Key", "X-Request-Id", "Accept", "Origin"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip)
    | st.sampled_from(["bytes=0-", "bytes=5-1", "bytes=-0", "bytes=a-b", "*", "Thu, 99 Foo 2026"]),
    max_size=3,
)
methods = st.sampled_from(["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"])
types = st.sampled_from(
    ["application/json", "application/json; charset=utf-8", "text/plain", "multipart/form-data", ""]
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """The application in process, without a rate limit, with one job."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    limits = {"rate_limit": "off", "reserve_mb": "0", "max_pending": "500"}
    variables = environment(folder, data=str(folder / "data"), allowed_hosts=DEFAULT_HOST, **limits)
    services = build_services(Settings.from_environment(variables))
    services.spool.prepare()
    services.jobs.repair()
    services.images.repair()
    client = TestClient(create_app(services))
    client.job = client.simulate_post("/api/generate", json=BODY).json["job_id"]  # type: ignore[attr-defined]
    return client


@st.composite
def addressed(draw: st.DrawFn) -> dict[str, Any]:
    """A request to an address that exists, or nearly, by any method."""
    fields = draw(headers)
    if content_type := draw(types):
        fields = fields | {"Content-Type": content_type}
    return {
        "method": draw(methods),
        "path": draw(paths).replace("{id}", draw(ids)),
        "params": draw(queries),
        "headers": fields,
        "body": draw(bodies),
    }


def check(client: TestClient, request: dict[str, Any]) -> None:
    """No 500, and an answer that is described; an error in its form, whatever the address."""
    answer = client.simulate_request(**request)
    what = f"{request}: {answer.status} {answer.text[:200]!r}"
    assert answer.status_code < 500 or answer.status_code == 503, what
    media = answer.headers.get("content-type", "")
    check_answer(request["method"], request["path"], answer.status_code, media, answer.content)
    if answer.status_code >= 400 and request["method"] != "HEAD":
        assert media.startswith("application/json"), what
        assert sentence_of(answer.json).strip(), what


def fuzz(client: TestClient, requests: st.SearchStrategy[dict[str, Any]], examples: int) -> None:
    count = 0

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(requests)
    def try_one(request: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        job: str = client.job  # type: ignore[attr-defined]
        check(client, request | {"path": request["path"].replace("{job}", job)})

    try_one()
    record("API3 random requests to every endpoint: no 500, every answer as described", count)


SOURCES = [addressed(), described_requests()]


@pytest.mark.parametrize("requests", SOURCES, ids=["addressed", "described"])
def test_random_requests_are_answered_as_described(client: TestClient, requests: Any) -> None:
    fuzz(client, requests, 150)


@pytest.mark.long
@pytest.mark.parametrize("requests", SOURCES, ids=["addressed", "described"])
def test_10000_random_requests_are_answered_as_described(client: TestClient, requests: Any) -> None:
    fuzz(client, requests, 5_000)
