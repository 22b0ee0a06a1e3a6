"""The description is complete: what is served is described, and what is described is served."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from falcon import Request, Response
from falcon.inspect import inspect_app
from falcon.testing import TestClient
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from http_api.access import Scope
from http_api.app import ROUTES, create_app
from http_api.openapi import describe
from http_api.route import Route
from service.services import Services
from tests.described import check_answer


def test_every_route_has_a_row_with_a_scope_and_a_description(services: Services) -> None:
    app = inspect_app(create_app(services))
    served = {
        (method.method, route.path)
        for route in app.routes
        for method in route.methods
        if method.method not in ("OPTIONS", "HEAD") and not method.internal
    }
    rows = {(row.method, route.path): row for route in ROUTES for row in route.operations}
    described = {(method.upper(), path) for path, methods in describe(ROUTES)["paths"].items() for method in methods}
    assert served == rows.keys() == described
    assert {type(row.scope) for row in rows.values()} == {Scope}
    assert not app.static_routes
    assert not app.sinks, "nothing is served past the table"


def test_a_resource_that_serves_more_than_its_row_says_is_refused(services: Services) -> None:
    class Resource:
        def on_get(self, req: Request, resp: Response) -> None: ...

        on_head = on_get

        def on_delete(self, req: Request, resp: Response) -> None: ...

    row = ROUTES[0].operations[0]
    route = Route("/more", ROUTES[0].tag, lambda context: Resource(), replace(row, method="GET", body=None))
    with pytest.raises(ValueError, match="/more serves"):
        create_app(services, [route])


def test_the_document_is_served_and_its_references_lead_somewhere(client: TestClient) -> None:
    document = client.simulate_get("/api/openapi.json").json
    assert document["openapi"] == "3.1.0"
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        Draft202012Validator.check_schema(document["components"]["schemas"][name])
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in document["components"]["schemas"]


def test_the_document_says_where_the_server_is(client_with: Callable[..., TestClient], services: Services) -> None:
    client = client_with(settings=replace(services.settings, trusted_proxies=1))
    for prefix in ("/ai", "/ai/pictures", ""):
        answer = client.simulate_get("/api/openapi.json", headers={"X-Forwarded-Prefix": prefix})
        assert answer.json["servers"][0]["url"] == (prefix or "/")


def test_operation_ids_are_unique() -> None:
    names = [route.operation_id(row) for route in ROUTES for row in route.operations]
    assert len(set(names)) == len(names)


def test_the_request_schema_is_the_one_that_validates() -> None:
    schemas = describe(ROUTES)["components"]["schemas"]
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
