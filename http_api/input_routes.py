"""The table of the routes of pictures that come in: see `routes`."""

from __future__ import annotations

from typing import Final

from http_api.access import Scope
from http_api.api.inputs import BODY_LIMIT, KINDS, InputAnswer, InputResource, InputsResource
from http_api.route import FILE_HEADERS, Operation, Route, file_answers
from http_api.routes import IMAGES
from service.uploads import Uploads

ROUTES: Final = (
    Route(
        "/api/inputs",
        IMAGES,
        lambda context: InputsResource(Uploads(context.services)),
        Operation(
            method="POST",
            scope=Scope.SUBMIT,
            summary="Send a picture to draw from",
            description="A PNG, JPEG or WebP, as the body or as the one file of a form. It is stored as a PNG under an "
            "id that follows from its content, and removed after a day or two in which no job names it.",
            file_body=KINDS,
            body_limit=BODY_LIMIT,
            answers={200: InputAnswer},
            errors=(429,),
        ),
    ),
    Route(
        "/api/inputs/{input_id}",
        IMAGES,
        lambda context: InputResource(context.services.inputs),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="Download a picture that came in",
            description="The PNG that was made of it.",
            headers=FILE_HEADERS,
            answers=file_answers("image/png"),
        ),
    ),
)
