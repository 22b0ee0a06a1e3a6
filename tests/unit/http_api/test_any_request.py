"""Whatever is sent to whatever address: never a 500, always an answer that is described."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import msgspec
from falcon.testing import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from http_api.a1111.requests import DrawRequest
from http_api.app import ROUTES
from http_api.openai.requests import ImageRequest
from http_api.openapi import query_parameters
from http_api.route import Operation, Route
from jobs.schema import State
from service.services import Services

#: Streams and waits would last; they have tests of their own, below and elsewhere.
WAITING = ("/images/generations", "/txt2img")
ENDLESS = ("events", *WAITING)

words = st.text(max_size=12)
numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([0, 1, -1, 8, 64, 2**63, 1e308]))
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
setting_names = st.sampled_from(["num_images", "num_inference_steps", "guidance_scale", "height", "width", "seed", "x"])
settings_objects = st.dictionaries(setting_names, numbers | values, max_size=4)
documents = st.fixed_dictionaries(
    {},
    optional={
        "model_id": st.sampled_from(["tiny", "far", "example/tiny"]) | values,
        "prompt": st.just("a castle") | values,
        "negative_prompt": values,
        "style": st.sampled_from(["fantasy", "anime"]) | values,
        "settings": settings_objects | values,
        "labels": st.lists(words, max_size=20) | values,
        "ids": st.lists(words, max_size=3) | values,
        "to": st.sampled_from(["front", "back"]) | values,
        "before": words | values,
        "status": st.just("pending") | values,
        "extra": values,
    },
)
bodies = st.one_of(documents.map(lambda found: json.dumps(found).encode()), st.binary(max_size=60))
ids = st.one_of(
    words, st.sampled_from(["..", "a/b", "img_" + "0" * 32 + "_1", "img_" + "f" * 32 + "_8", "%00", "x" * 64, "x" * 65])
)
headers = st.dictionaries(
    st.sampled_from(
        ["Range", "If-None-Match", "If-Range", "Last-Event-ID", "Idempotency-Key", "X-Request-Id", "Accept"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
    | st.sampled_from(["bytes=0-1", "*", '"x"', "W/", "bytes=-0"]),
    max_size=2,
)
types = st.sampled_from(["application/json", "application/json; charset=utf-8", "text/plain", ""])
ROWS = [(route, row) for route in ROUTES for row in route.operations if not route.path.endswith(ENDLESS)]


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request that is right in some ways and wrong in others."""
    row: tuple[Route, Operation] = draw(st.sampled_from(ROWS))
    route, operation = row
    path = re.sub(r"{\w+}", lambda _: quote(draw(ids), safe=""), route.path)
    known = [item["name"] for item in query_parameters(operation.query) if item["name"] != "wait"]
    names = st.sampled_from(known or ["x"]) | words
    query = draw(st.dictionaries(names, words | st.integers().map(str), max_size=3))
    sent = draw(headers)
    if operation.body is not None or draw(st.booleans()):
        sent["Content-Type"] = draw(types)
    return {
        "method": operation.method,
        "path": path,
        "params": query,
        "headers": {name: value for name, value in sent.items() if value},
        "body": draw(bodies) if operation.method in ("POST", "PUT") else b"",
    }


def sentence_of(error: dict[str, Any]) -> str:
    """What an error says, in the form of its door."""
    if "error" not in error:
        assert error["status"] == "error"
        return str(error["message"])
    return str(error["error"]["message"] if isinstance(error["error"], dict) else error["detail"])


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(request=requests())
def test_every_request_gets_a_described_answer(client: TestClient, services: Services, request: dict[str, Any]) -> None:
    answer = client.simulate_request(**request)
    assert answer.status_code != 500, answer.text
    if answer.status_code >= 400 and request["path"] != "/health/ready":
        assert sentence_of(answer.json)
    if request["path"] == "/api/generate" and answer.status_code == 200:
        assert services.spool.find(answer.json["job_id"])[0] is State.PENDING


OPENAI_FIELDS = msgspec.structs.fields(ImageRequest)
A1111_FIELDS = msgspec.structs.fields(DrawRequest)
door_names = st.sampled_from([*(field.name for field in (*OPENAI_FIELDS, *A1111_FIELDS)), "extra"])
door_values = (
    st.sampled_from(
        ["a castle", "tiny", "far", "gpt-image-1", "64x64", "1x1", "auto", "high", "url", "jpeg", "Euler a"]
    )
    | numbers
    | values
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    path=st.sampled_from(["/v1/images/generations", "/sdapi/v1/txt2img"]),
    body=st.dictionaries(door_names, door_values, max_size=5) | values,
    has_prompt=st.booleans(),
)
def test_every_call_of_another_api_is_refused_in_its_form_or_accepted(
    full_client: TestClient, path: str, body: Any, has_prompt: bool
) -> None:
    """With a queue that is full: what is accepted would be waited for."""
    if has_prompt and isinstance(body, dict):
        body = {**body, "prompt": "a castle"}
    answer = full_client.simulate_post(
        path, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in ({400, 404, 503} if path.startswith("/v1") else {404, 422, 503})
    assert sentence_of(answer.json)
