"""What a tool takes: JSON Schemas made from the OpenAPI description of the server that is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from client.errors import RejectedInput, UnexpectedAnswer

Schema = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/"


class Description:
    """The OpenAPI document of a server."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def body(self, path: str) -> Schema:
        """The schema of what is posted to a path, complete in itself."""
        try:
            found = self._document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
            return dict(self._resolved(found))
        except (KeyError, TypeError, ValueError) as error:
            raise UnexpectedAnswer(f"The server does not describe POST {path}; is it a CyberImage?") from error

    def query(self, path: str) -> Schema:
        """The query parameters of a path as the properties of an object."""
        try:
            parameters = [item for item in self._document["paths"][path]["get"]["parameters"] if item["in"] == "query"]
            properties = {
                item["name"]: {**self._resolved(item["schema"]), "description": item["description"]}
                for item in parameters
            }
        except (KeyError, TypeError, ValueError) as error:
            raise UnexpectedAnswer(f"The server does not describe GET {path}; is it a CyberImage?") from error
        return of(properties, [item["name"] for item in parameters if item.get("required")])

    def _resolved(self, part: Any) -> Any:
        """A part with what it refers to in place. (The description has no schema within itself.)"""
        if isinstance(part, list):
            return [self._resolved(item) for item in part]
        if not isinstance(part, dict):
            return part
        if str(reference := part.get("$ref", "")).startswith(_REFERENCE):
            rest = {name: value for name, value in part.items() if name != "$ref"}
            target = self._document["components"]["schemas"][str(reference).removeprefix(_REFERENCE)]
            return {**self._resolved(target), **rest}
        return {name: self._resolved(value) for name, value in part.items()}


def of(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    """The schema of an object with these properties and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def only(schema: Schema, names: Iterable[str]) -> Schema:
    """A schema with some of its properties; those that this server does not know are left out."""
    properties = {name: schema["properties"][name] for name in names if name in schema["properties"]}
    return of(properties, [name for name in schema.get("required", ()) if name in properties])


def check_names(arguments: Mapping[str, Any], schema: Schema) -> None:
    """Raise RejectedInput for an argument that the schema does not have, or that is missing.

    Values are left to the server, which says what is wrong with them in its own words.
    """
    known = schema["properties"]
    if unknown := sorted(arguments.keys() - known.keys()):
        raise RejectedInput(f"{unknown[0]!r} is no argument of this tool; there are: {', '.join(known)}.")
    if missing := [name for name in schema["required"] if arguments.get(name) is None]:
        raise RejectedInput(f"{missing[0]} is missing: {known[missing[0]].get('description', 'it is required')}.")
