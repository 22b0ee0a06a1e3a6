"""The table of the routes of the web UI's door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from http_api.a1111 import answers, listings
from http_api.a1111.door import DOOR
from http_api.a1111.drawing import BODY_LIMIT, Drawing, ImageToImageResource, TextToImageResource
from http_api.a1111.listings import ListResource, MemoryResource, ModelsResource, OptionsBody, OptionsResource
from http_api.a1111.png_info import INFO_LIMIT, PngInfoBody, PngInfoResource
from http_api.a1111.progress import InterruptResource, OwnJobs, ProgressQuery, ProgressResource
from http_api.a1111.requests import DrawRequest, PictureRequest, Translator
from http_api.access import Scope
from http_api.picture_calls import HEADERS, PictureCalls
from http_api.picture_inputs import PictureInputs
from http_api.route import Context, Operation, Route, Tag
from service.callers import Callers
from service.uploads import Uploads

A1111: Final = Tag(
    "A1111", "The API of AUTOMATIC1111's web UI, for clients that have it built in; see docs/clients.md."
)


def _drawing(context: Context) -> Drawing:
    return Drawing(PictureCalls.of(context), _callers(context), context.services.store)


def _image_to_image(context: Context) -> ImageToImageResource:
    inputs = PictureInputs(Uploads(context.services))
    return ImageToImageResource(Translator(context.services.validator), _drawing(context), inputs)


def _callers(context: Context) -> Callers:
    return Callers(context.services.spool)


def _own(context: Context) -> OwnJobs:
    return OwnJobs(_callers(context), context.reader)


def _list(path: str, summary: str, answer: type[Struct | list[Any]], resource: Callable[[Context], object]) -> Route:
    description = "Only what can be used here."
    operation = Operation(
        method="GET", scope=Scope.READ, summary=summary, description=description, answers={200: answer}
    )
    return Route(path, A1111, resource, operation, door=DOOR)


def _stop(path: str, summary: str) -> Route:
    return Route(
        path,
        A1111,
        lambda context: InterruptResource(_own(context), context.services.spool),
        Operation(
            method="POST",
            scope=Scope.SUBMIT,
            summary=summary,
            description="The caller's own job only, by its API key or address; the images that are finished stay.",
            answers={200: answers.Nothing},
        ),
        door=DOOR,
    )


ROUTES: Final = (
    Route(
        "/txt2img",
        A1111,
        lambda context: TextToImageResource(Translator(context.services.validator), _drawing(context)),
        Operation(
            method="POST",
            scope=Scope.SUBMIT,
            summary="Draw from words while the client waits",
            description="The answer comes when the pictures are there. A client that hangs up has its job cancelled, "
            "unless somebody else watches it.",
            headers=HEADERS,
            body=DrawRequest,
            answers={200: answers.DrawnAnswer},
            errors=(404, 422, 429),
        ),
        door=DOOR,
    ),
    Route(
        "/img2img",
        A1111,
        _image_to_image,
        Operation(
            method="POST",
            scope=Scope.SUBMIT,
            summary="Draw from a picture while the client waits",
            description="As a whole, or where the mask is white, with a model that can.",
            headers=HEADERS,
            body=PictureRequest,
            body_limit=BODY_LIMIT,
            answers={200: answers.DrawnAnswer},
            errors=(404, 422, 429),
        ),
        door=DOOR,
    ),
    Route(
        "/png-info",
        A1111,
        lambda context: PngInfoResource(),
        Operation(
            method="POST",
            scope=Scope.READ,
            summary="Read the parameters in a picture",
            description="Those of a PNG, JPEG or WebP of this server, or of another tool that writes them so.",
            body=PngInfoBody,
            body_limit=INFO_LIMIT,
            answers={200: answers.PngInfoAnswer},
        ),
        door=DOOR,
    ),
    Route(
        "/progress",
        A1111,
        lambda context: ProgressResource(_own(context), context.services.spool),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="How far the caller's current job is",
            description="Of the calls that wait here under the same API key, or from the same address.",
            query=ProgressQuery,
            answers={200: answers.ProgressOfCaller},
        ),
        door=DOOR,
    ),
    _stop("/interrupt", "Stop the caller's current job"),
    _stop("/skip", "Stop the caller's current job, too"),
    Route(
        "/options",
        A1111,
        lambda context: OptionsResource(context.services.catalog, _callers(context)),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="The caller's options",
            description="The model of its calls that name none.",
            answers={200: answers.A1111Options},
        ),
        Operation(
            method="POST",
            scope=Scope.SUBMIT,
            summary="Choose the caller's options",
            description="Only sd_model_checkpoint is read. Other callers, by API key or address, are not concerned.",
            body=OptionsBody,
            answers={200: answers.Nothing},
            errors=(422,),
        ),
        door=DOOR,
    ),
    _list(
        "/sd-models",
        "List the models that can draw now",
        list[answers.A1111Model],
        lambda context: ModelsResource(context.services.catalog),
    ),
    _list(
        "/samplers",
        "List the samplers that may be named",
        list[answers.A1111Sampler],
        lambda context: ListResource(listings.samplers()),
    ),
    _list(
        "/schedulers",
        "List the schedules that may be named",
        list[answers.A1111Scheduler],
        lambda context: ListResource(listings.schedulers()),
    ),
    _list("/upscalers", "List the upscalers: none", list[answers.A1111Name], lambda context: ListResource()),
    _list(
        "/latent-upscale-modes",
        "List the upscalers of latents: none",
        list[answers.A1111Name],
        lambda context: ListResource(),
    ),
    _list("/loras", "List the LoRAs: none", list[answers.A1111Name], lambda context: ListResource()),
    _list("/sd-vae", "List the VAEs to choose from: none", list[answers.A1111Name], lambda context: ListResource()),
    _list("/memory", "The memory of this machine", answers.MemoryAnswer, lambda context: MemoryResource()),
)
