"""The rules of the usual linters of OpenAPI descriptions (Redocly's recommended ones, Spectral's), by ourselves."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from http_api.app import ROUTES
from http_api.openapi import describe

DOCUMENT = describe(ROUTES)
OPERATIONS = [(path, operation) for path, methods in DOCUMENT["paths"].items() for operation in methods.values()]
every_operation = pytest.mark.parametrize(
    ("path", "operation"), OPERATIONS, ids=[operation["operationId"] for _, operation in OPERATIONS]
)


def test_it_says_what_it_is_where_it_is_and_under_which_licence() -> None:
    info = DOCUMENT["info"]
    assert info["title"]
    assert info["version"]
    assert info["description"]
    assert info["license"] == {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/"]
    assert [server["url"] for server in describe(ROUTES, "/ai")["servers"]] == ["/ai"]


def test_tags_are_described_and_each_is_used() -> None:
    tags = {tag["name"]: tag["description"] for tag in DOCUMENT["tags"]}
    used = {tag for _, operation in OPERATIONS for tag in operation["tags"]}
    assert tags.keys() == used
    assert all(tags.values())
    assert len(tags) == len(DOCUMENT["tags"])


@every_operation
def test_an_operation_is_named_and_described(path: str, operation: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z_]+", operation["operationId"])
    assert len(operation["tags"]) == 1
    assert operation["summary"]
    assert not operation["summary"].endswith(".")
    assert operation["description"].endswith(".")


@every_operation
def test_an_operation_has_a_success_and_an_error(path: str, operation: dict[str, Any]) -> None:
    families = {status[0] for status in operation["responses"]}
    assert families >= {"2", "4", "5"}
    assert all(response["description"] for response in operation["responses"].values())


@every_operation
def test_every_content_has_a_typed_schema(path: str, operation: dict[str, Any]) -> None:
    contents = [response.get("content", {}) for response in operation["responses"].values()]
    contents += [operation["requestBody"]["content"]] if "requestBody" in operation else []
    for media, content in (item for found in contents for item in found.items()):
        schema = content["schema"]
        if media == "multipart/form-data":
            form = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
            assert [name for name, field in form["properties"].items() if field.get("format") == "binary"]
        elif not media.startswith(("text/", "application/json")):
            assert (schema["type"], schema["format"]) == ("string", "binary")
            assert schema.get("contentMediaType", "*/*") == media
        assert "$ref" in schema or "type" in schema


@every_operation
def test_parameters_are_those_of_the_path_or_described(path: str, operation: dict[str, Any]) -> None:
    parameters = operation["parameters"]
    assert len({(item["in"], item["name"]) for item in parameters}) == len(parameters)
    assert [item["name"] for item in parameters if item["in"] == "path"] == re.findall(r"{(\w+)}", path)
    for item in parameters:
        assert item["required"] == (item["in"] == "path")
        assert item["required"] or item["description"]
        assert {"type", "enum", "$ref"} & set(item["schema"])
        assert "null" not in json.dumps(item["schema"]), "an address cannot hold null"


@every_operation
def test_who_may_do_it_is_said(path: str, operation: dict[str, Any]) -> None:
    if operation.get("security") == []:
        assert "401" not in operation["responses"]
    else:
        assert {"401", "403"} <= operation["responses"].keys()
        assert re.search(r"scope `(read|submit|admin)`|any will do", operation["description"])


def test_security_schemes_and_components_are_used() -> None:
    asked = {name for wanted in DOCUMENT["security"] for name in wanted}
    assert asked == DOCUMENT["components"]["securitySchemes"].keys()
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))
    assert used == DOCUMENT["components"]["schemas"].keys()


def test_no_two_paths_can_match_one_address() -> None:
    shapes = [re.sub(r"{\w+}", "{}", path) for path in DOCUMENT["paths"]]
    assert len(set(shapes)) == len(shapes)
    assert not [path for path in DOCUMENT["paths"] if len(path) > 1 and path.endswith("/")]
