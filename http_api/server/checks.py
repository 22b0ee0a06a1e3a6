"""What is checked of every request before its resource sees it, as its row says."""

from __future__ import annotations

from typing import Any

from falcon import Request, Response
from msgspec import Struct

from http_api.door import door_of
from http_api.route import Operations
from http_api.server.query import NoParameters, QueryDecoder
from http_api.server.request_body import refuse_body


class RequestChecks:
    """Decodes the query parameters for the responder's `query`, and refuses a body where none is read."""

    def __init__(self, operations: Operations) -> None:
        kinds = {row.query for row in operations if row.query is not None}
        self._decoders: dict[type[Struct], QueryDecoder[Struct]] = {kind: QueryDecoder(kind) for kind in kinds}
        self._operations = operations

    def process_resource(self, req: Request, resp: Response, resource: Any, params: dict[str, Any]) -> None:
        """Add `query` to what the responder is called with; raises InvalidRequest, and ApiError 411, 413, 415."""
        operation = self._operations.of(req)
        if operation is None:
            return
        if operation.query is not None:
            decoder = self._decoders[operation.query]
            query = decoder.decode(
                req.params, is_reading=operation.is_reading, ignores_unknown=door_of(req).ignores_unknown
            )
            if operation.query is not NoParameters:
                params["query"] = query
        req.context.body_limit = operation.body_limit
        if operation.body is None and not operation.file_body and not operation.is_reading:
            refuse_body(req)
