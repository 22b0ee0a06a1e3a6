"""The description is complete: what is served is described, and what is described is served."""

from __future__ import annotations

import json

import pytest
from falcon.inspect import inspect_app
from falcon.testing import TestClient
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from http_api.app import create_app
from http_api.openapi import OPERATIONS, describe
from service.services import Services
from tests.described import check_answer

PAGE_ROUTES = {"/", "/docs", "/static/{name}"}


def test_every_route_is_described_and_every_description_is_served(services: Services) -> None:
    served = {
        (method.method.lower(), route.path)
        for route in inspect_app(create_app(services)).routes
        for method in route.methods
        if method.method not in ("OPTIONS", "HEAD") and not method.internal and route.path not in PAGE_ROUTES
    }
    assert {(operation.method, operation.path) for operation in OPERATIONS} == served


def test_the_document_is_served_and_its_references_lead_somewhere(client: TestClient) -> None:
    document = client.simulate_get("/api/openapi.json").json
    assert document["openapi"] == "3.1.0"
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        Draft202012Validator.check_schema(document["components"]["schemas"][name])
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in document["components"]["schemas"]


def test_operation_ids_are_unique() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)


def test_the_request_schema_is_the_one_that_validates() -> None:
    schemas = describe()["components"]["schemas"]
    assert schemas["RequestSettings"]["properties"]["num_images"]["maximum"] == 8
    assert schemas["GenerateRequest"]["required"] == ["model_id", "prompt"]
    assert schemas["GenerateRequest"]["additionalProperties"] is False


def test_the_docs_page_works_offline(client: TestClient) -> None:
    answer = client.simulate_get("/docs")
    assert answer.status_code == 200
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    for name in ("docs.js", "docs.css"):
        assert client.simulate_get(f"/static/{name}").status_code == 200


def test_the_comparison_sees_what_is_not_described() -> None:
    good = {"status": "success", "message": "x"}
    check_answer("DELETE", "/api/image/x", 200, "application/json", json.dumps(good).encode())
    with pytest.raises(ValidationError):
        check_answer("DELETE", "/api/image/x", 200, "application/json", json.dumps({**good, "extra": 1}).encode())
    with pytest.raises(AssertionError):
        check_answer("DELETE", "/api/image/x", 418, "application/json", b"{}")
    with pytest.raises(AssertionError):
        check_answer("GET", "/api/nowhere", 200, "application/json", b"{}")
