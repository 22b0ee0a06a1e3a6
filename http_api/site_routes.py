"""The table of the routes beside the API: health and figures for those who operate it, the page and the description."""

from __future__ import annotations

from typing import Final

from http_api.access import Scope
from http_api.api import answers
from http_api.api.description import OpenApiResource
from http_api.api.health import LiveResource, ReadyResource
from http_api.api.metrics import MetricsResource
from http_api.api.page import PageResource, ServiceWorkerResource
from http_api.route import FILE_HEADERS, Operation, Route, Tag, file_answers

OPERATING: Final = Tag("operating", "Health, and figures for monitors.")
PAGES: Final = Tag("pages", "The web page, and this description.")


def _page(summary: str, media: str = "text/html") -> Operation:
    return Operation(
        method="GET",
        scope=Scope.OPEN,
        summary=summary,
        description="For browsers. An address with a slash at its end leads to the one without.",
        query=None,
        headers=FILE_HEADERS,
        answers={**file_answers(media), 308: None},
    )


ROUTES: Final = (
    Route(
        "/health/live",
        OPERATING,
        lambda context: LiveResource(),
        Operation(
            method="GET",
            scope=Scope.OPEN,
            summary="Whether the process answers",
            description="Restart it if it does not.",
            answers={200: answers.LiveAnswer},
        ),
        is_monitored=True,
    ),
    Route(
        "/health/ready",
        OPERATING,
        lambda context: ReadyResource(context.services),
        Operation(
            method="GET",
            scope=Scope.OPEN,
            summary="Whether a job sent now would be taken and drawn",
            description="Looks at the storage, the queue, the index and the runner; 503 says what is in the way.",
            answers={200: answers.ReadyAnswer, 503: answers.ReadyAnswer},
        ),
        is_monitored=True,
    ),
    Route(
        "/metrics",
        OPERATING,
        lambda context: MetricsResource(context.services),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="Figures for Prometheus",
            description="In its text format; every worker returns the same.",
            answers={200: "text/plain"},
        ),
        is_monitored=True,
    ),
    Route(
        "/api/openapi.json",
        PAGES,
        lambda context: OpenApiResource(context.routes),
        Operation(
            method="GET",
            scope=Scope.OPEN,
            summary="This description",
            description="OpenAPI 3.1, made from the types that check requests and encode answers.",
            answers={200: "application/json"},
        ),
    ),
    Route("/docs", PAGES, lambda context: PageResource(fixed="docs.html"), _page("This description to read")),
    Route("/", PAGES, lambda context: PageResource(fixed="index.html"), _page("The web page")),
    Route(
        "/service-worker.js",
        PAGES,
        lambda context: ServiceWorkerResource(),
        _page("The script that lets a browser look offline at what it has loaded", "text/javascript"),
    ),
    Route("/static/{name}", PAGES, lambda context: PageResource(), _page("A file of the web page", "*/*")),
)
