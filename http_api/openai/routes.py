"""The table of the routes of OpenAI's door."""

from __future__ import annotations

from typing import Final

from http_api.access import Scope
from http_api.openai.answers import ImagesAnswer, OpenAIModel, OpenAIModels
from http_api.openai.door import DOOR
from http_api.openai.images import GenerationsResource
from http_api.openai.models import ModelResource, ModelsResource
from http_api.openai.requests import ImageRequest, Translator
from http_api.picture_calls import TRIES, PictureCalls
from http_api.route import Context, Header, Operation, Route, Tag

OPENAI: Final = Tag("OpenAI", "OpenAI's Images API, for clients that have it built in; see docs/clients.md.")
_TRIES: Final = Header(TRIES, "How often a library has sent this request before; a later try gets the first one's job")
_KEY: Final = Header("Idempotency-Key", "As for /api/generate; the job is then not cancelled when the client hangs up")


def _generations(context: Context) -> GenerationsResource:
    services = context.services
    translator = Translator(services.validator, maps_openai_names=services.settings.openai_names)
    return GenerationsResource(translator, PictureCalls.of(context), services.spool, services.store)


ROUTES: Final = (
    Route(
        "/images/generations",
        OPENAI,
        _generations,
        Operation(
            method="POST",
            scope=Scope.SUBMIT,
            summary="Draw while the client waits",
            description="The answer comes when the pictures are there. A client that hangs up has its job cancelled, "
            "unless somebody else watches it.",
            headers=(_KEY, _TRIES),
            body=ImageRequest,
            answers={200: (ImagesAnswer, "text/event-stream")},
            errors=(404, 422, 429),
        ),
        door=DOOR,
    ),
    Route(
        "/models",
        OPENAI,
        lambda context: ModelsResource(context.services.catalog),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="List the models that can draw now",
            description="The default model comes first.",
            answers={200: OpenAIModels},
        ),
        door=DOOR,
    ),
    Route(
        "/models/{model_id}",
        OPENAI,
        lambda context: ModelResource(context.services.catalog),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="Look at one of the models",
            description="By its key; 404 for one that is not here.",
            answers={200: OpenAIModel},
        ),
        door=DOOR,
    ),
)
