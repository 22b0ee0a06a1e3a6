"""Any request to any endpoint gets an answer in its documented form, and never a 500."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from http_api.app import create_app
from http_api.parts import assemble
from jobs.settings import Settings
from tests.faults.table import record
from tests.faults.test_hostile_clients import BODY, environment

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
    [
        "/api/models",
        "/api/generate",
        "/api/status/{id}",
        "/api/get_image/{id}",
        "/api/image/{id}",
        "/api/image/{id}/metadata",
        "/api/image/{id}/thumbnail",
        "/api/queue",
        "/api/reset_queue",
        "/api/gallery",
        "/api/enrich",
        "/api/jobs",
        "/api/jobs/{id}/cancel",
        "/api/jobs/{id}/retry",
        "/api/jobs/{id}/preview",
        "/health/live",
        "/health/ready",
        "/static/{id}",
        "/{id}",
    ]
)
words = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs"]), max_size=12)
queries = st.dictionaries(
    st.sampled_from(["page", "limit", "search", "model", "detailed", "width", "status", "wait", "odd"]),
    st.integers(-5, 10**30).map(str) | words | st.sampled_from(["1_0", "\uff11", "true", "0", "1e3", "%00"]),
    max_size=3,
).filter(lambda query: "wait" not in query)
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
    variables = environment(folder, data=str(folder / "data"), rate_limit="off", reserve_mb="0", max_pending="500")
    parts = assemble(Settings.from_environment(variables))
    parts.spool.prepare()
    parts.jobs.repair()
    parts.images.repair()
    client = TestClient(create_app(parts))
    client.job = client.simulate_post("/api/generate", json=BODY).json["job_id"]  # type: ignore[attr-defined]
    return client


def check(client: TestClient, method: str, path: str, options: dict[str, Any]) -> None:
    answer = client.simulate_request(method, path, **options)
    what = f"{method} {path} {options}: {answer.status} {answer.text[:200]!r}"
    assert answer.status_code < 500 or answer.status_code == 503, what
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.headers["content-type"].startswith("application/json"), what
        assert answer.json["status"] == "error", what
        assert answer.json["message"].strip(), what


def fuzz(client: TestClient, examples: int) -> None:
    count = [0]

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(methods, paths, ids, queries, headers, types, bodies)
    def try_one(method: str, path: str, name: str, query: Any, fields: Any, content_type: str, body: bytes) -> None:
        count[0] += 1
        name = name.replace("{job}", client.job)  # type: ignore[attr-defined]
        path = path.replace("{id}", name)
        if content_type:
            fields = fields | {"Content-Type": content_type}
        check(client, method, path, {"params": query, "headers": fields, "body": body})

    try_one()
    record("API3 random requests to every endpoint: no 500, errors in form", count[0])


def test_random_requests_are_answered_in_form(client: TestClient) -> None:
    fuzz(client, 300)


@pytest.mark.long
def test_10000_random_requests_are_answered_in_form(client: TestClient) -> None:
    fuzz(client, 10_000)
