"""`GET /api/openapi.json`."""

from __future__ import annotations

import msgspec
from falcon import Request, Response

from http_api import openapi
from http_api.query import Query


class OpenApiResource:
    """The description of the API; the same for as long as the process lives."""

    def __init__(self) -> None:
        self._document = msgspec.json.encode(openapi.describe())

    def on_get(self, req: Request, resp: Response) -> None:
        """Answer the document."""
        Query(req)
        resp.content_type = "application/json"
        resp.data = self._document

    on_head = on_get
