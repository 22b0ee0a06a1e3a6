"""The table of the routes of OpenAI's door."""

from __future__ import annotations

from typing import Final

import falcon

from http_api.access import Scope
from http_api.openai.answers import ImagesAnswer, OpenAIModel, OpenAIModels
from http_api.openai.door import DOOR
from http_api.openai.edits import BODY_LIMIT, EditRequest, EditsResource
from http_api.openai.images import GenerationsResource, Pictures
from http_api.openai.models import ModelResource, ModelsResource
from http_api.openai.requests import ImageRequest, Translator
from http_api.picture_calls import HEADERS, PictureCalls
from http_api.picture_inputs import PictureInputs
from http_api.route import Context, Operation, Route, Tag
from service.uploads import Uploads

OPENAI: Final = Tag("OpenAI", "OpenAI's Images API, for clients that have it built in; see docs/clients.md.")


def _generations(context: Context) -> GenerationsResource:
    return GenerationsResource(_translator(context), PictureCalls.of(context), _pictures(context))


def _edits(context: Context) -> EditsResource:
    inputs = PictureInputs(Uploads(context.services))
    return EditsResource(_translator(context), PictureCalls.of(context), _pictures(context), inputs)


def _translator(context: Context) -> Translator:
    return Translator(context.services.validator, maps_openai_names=context.services.settings.openai_names)


def _pictures(context: Context) -> Pictures:
    return Pictures(context.services.spool, context.services.store)


def _from_picture(path: str, summary: str, description: str) -> Route:
    return Route(
        path,
        OPENAI,
        _edits,
        Operation(
            method="POST",
            scope=Scope.SUBMIT,
            summary=summary,
            description=description,
            headers=HEADERS,
            body=EditRequest,
            body_media=falcon.MEDIA_MULTIPART,
            body_limit=BODY_LIMIT,
            answers={200: (ImagesAnswer, "text/event-stream")},
            errors=(404, 422, 429),
        ),
        door=DOOR,
    )


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
            headers=HEADERS,
            body=ImageRequest,
            answers={200: (ImagesAnswer, "text/event-stream")},
            errors=(404, 422, 429),
        ),
        door=DOOR,
    ),
    _from_picture(
        "/images/edits",
        "Draw from a picture while the client waits",
        "As a whole, or where the mask is transparent, with a model that can.",
    ),
    _from_picture(
        "/images/variations",
        "Draw a variation of a picture while the client waits",
        "As /v1/images/edits; OpenAI's needs no prompt, but the models here do.",
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
