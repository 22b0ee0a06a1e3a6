"""`GET /api/openapi.json`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import falcon
import msgspec
from falcon import Request, Response

from http_api import openapi
from http_api.route import Route


class OpenApiResource:
    """The description of the API; the same for as long as the process lives."""

    def __init__(self, routes: Iterable[Route]) -> None:
        # Made when it is first asked for, which spares every start a tenth of a second.
        self._document = lru_cache(maxsize=8)(lambda prefix: msgspec.json.encode(openapi.describe(routes, prefix)))

    def on_get(self, req: Request, resp: Response) -> None:
        """Answer the document."""
        resp.content_type = falcon.MEDIA_JSON
        resp.data = self._document(req.context.prefix)

    on_head = on_get
