"""`GET /api/models`: the catalog."""

from __future__ import annotations

from typing import Any

import msgspec
from falcon import Request, Response

from core.layout import Layout
from http_api.server.query import Query
from jobs import runner_status
from jobs.catalog import Catalog


class ModelResource:
    """Which models there are, what they can do, whether their weights are here, and how those in memory were loaded."""

    def __init__(self, catalog: Catalog, layout: Layout) -> None:
        self._catalog = catalog
        self._layout = layout

    def on_get(self, req: Request, resp: Response) -> None:
        """All models by key, and the default."""
        Query(req)
        plans = self._plans()
        resp.media = {
            "models": {key: self._entry(key) | {"plan": plans.get(key)} for key in self._catalog.models},
            "default": self._catalog.default,
        }

    on_head = on_get

    def _plans(self) -> dict[str, dict[str, Any]]:
        """How the models that are in memory were made to fit and fast."""
        plans: dict[str, dict[str, Any]] = {}
        # A runner that was killed leaves its last word behind, hence the living ones only.
        for runner in runner_status.read_living(self._layout):
            plans |= runner.status.plans if runner.status else {}
        return plans

    def _entry(self, key: str) -> dict[str, Any]:
        entry = self._catalog.entry(key)
        return {
            "id": entry.id,
            "description": entry.description,
            "available": self._catalog.is_available(key),
            "defaults": msgspec.to_builtins(entry.defaults),
            "limits": msgspec.to_builtins(entry.limits),
            "capabilities": msgspec.to_builtins(entry.capabilities),
        }
