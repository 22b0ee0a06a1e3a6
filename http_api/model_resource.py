"""`GET /api/models`: the catalog."""

from __future__ import annotations

from typing import Any

import msgspec
from falcon import Request, Response

from http_api.query import Query
from jobs.catalog import Catalog


class ModelResource:
    """Which models there are, what they can do, and whether their weights are here."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def on_get(self, req: Request, resp: Response) -> None:
        """All models by key, and the default."""
        Query(req)
        resp.media = {
            "models": {key: self._entry(key) for key in self._catalog.models},
            "default": self._catalog.default,
        }

    on_head = on_get

    def _entry(self, key: str) -> dict[str, Any]:
        entry = self._catalog.models[key]
        return {
            "id": entry.id,
            "description": entry.description,
            "available": self._catalog.is_available(key),
            "defaults": msgspec.to_builtins(entry.defaults),
            "limits": msgspec.to_builtins(entry.limits),
            "capabilities": msgspec.to_builtins(entry.capabilities),
        }
