"""`GET /v1/models` and `GET /v1/models/<id>`."""

from __future__ import annotations

from falcon import Request, Response

from http_api.openai.answers import OpenAIModel, OpenAIModels
from http_api.openai.requests import model_not_found
from jobs.catalog import Catalog


class ModelsResource:
    """The models that can draw now."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def on_get(self, req: Request, resp: Response) -> None:
        """All of them, the default first: some clients take the first."""
        keys = sorted(self._catalog.available(), key=lambda key: key != self._catalog.default)
        resp.media = OpenAIModels(data=[_model(self._catalog, key) for key in keys])

    on_head = on_get


class ModelResource:
    """One of them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def on_get(self, req: Request, resp: Response, model_id: str) -> None:
        """The model of this key; raises ApiError 404."""
        if model_id not in self._catalog.available():
            raise model_not_found(model_id, self._catalog)
        resp.media = _model(self._catalog, model_id)

    on_head = on_get


def _model(catalog: Catalog, key: str) -> OpenAIModel:
    entry = catalog.entry(key)
    owner = "local" if entry.local else entry.id.partition("/")[0]
    return OpenAIModel(id=key, owned_by=owner)
