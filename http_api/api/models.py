"""`GET /api/models`: the catalog."""

from __future__ import annotations

from typing import Any

from falcon import Request, Response

from core.layout import Layout
from http_api.api.answers import ModelAnswer, ModelsAnswer, with_fields_of
from jobs import runner_status
from jobs.catalog import Catalog


class ModelResource:
    """Which models there are, what they can do, whether their weights are here, and how those in memory were loaded."""

    def __init__(self, catalog: Catalog, layout: Layout) -> None:
        self._catalog = catalog
        self._layout = layout

    def on_get(self, req: Request, resp: Response) -> None:
        """All models by key, and the default."""
        plans = self._plans()
        models = {
            key: with_fields_of(
                entry,
                ModelAnswer,
                available=self._catalog.is_available(key),
                capabilities=self._catalog.capabilities(key),
                schedulers=list(self._catalog.abilities(key).schedulers),
                plan=plans.get(key),
            )
            for key, entry in self._catalog.models.items()
        }
        resp.media = ModelsAnswer(models=models, default=self._catalog.default)

    on_head = on_get

    def _plans(self) -> dict[str, dict[str, Any]]:
        """How the models that are in memory were made to fit and fast."""
        plans: dict[str, dict[str, Any]] = {}
        # A runner that was killed leaves its last word behind, hence the living ones only.
        for runner in runner_status.read_living(self._layout):
            plans |= runner.status.plans if runner.status else {}
        return plans
