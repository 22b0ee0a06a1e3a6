"""The table of routes of the queue as a whole: its order, its pause, several jobs at once, and the stream of a page."""

from __future__ import annotations

from typing import Final

from http_api.access import Scope
from http_api.api import queue_answers
from http_api.api.page_events import PageEventResource
from http_api.api.queue import PauseResource
from http_api.api.queue_order import CancelManyRequest, CancelManyResource, MoveRequest, MoveResource
from http_api.route import Operation, Route
from http_api.routes import JOBS

ROUTES: Final = (
    Route(
        "/api/jobs/{job_id}/move",
        JOBS,
        lambda context: MoveResource(context.services, context.reader),
        Operation(
            method="POST",
            scope=Scope.ADMIN,
            summary="Move a job that waits",
            description="To the front, to the back, or just before another one. It keeps its place over restarts.",
            body=MoveRequest,
            answers={200: queue_answers.MoveAnswer},
            errors=(409,),
        ),
    ),
    Route(
        "/api/jobs/cancel",
        JOBS,
        lambda context: CancelManyResource(context.services.spool),
        Operation(
            method="POST",
            scope=Scope.SUBMIT,
            summary="Cancel several jobs",
            description="Those that are named, or all that wait. Jobs that have ended are counted, and no error.",
            body=CancelManyRequest,
            answers={200: queue_answers.CancelManyAnswer},
        ),
    ),
    Route(
        "/api/events",
        JOBS,
        lambda context: PageEventResource(context.page_watcher),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="Follow everything",
            description="Server-sent events for a whole page: first the present state, then what changes. `queue`: the "
            "answer of /api/queue; `runner`: what it does; `jobs`: the order of the active jobs; `job`: the answer of "
            "/api/status of one that changed, the last one when it ends; `image`: one that came or changed; "
            "`image_removed`. Ask for the gallery once the stream has begun, and nothing is missed.",
            answers={200: "text/event-stream"},
        ),
    ),
    Route(
        "/api/queue/pause",
        JOBS,
        lambda context: PauseResource(context.services.spool, is_pause=True),
        Operation(
            method="POST",
            scope=Scope.ADMIN,
            summary="Pause the queue",
            description="No job is begun, also after restarts, until it is resumed; those that run go on.",
            answers={200: queue_answers.PauseAnswer},
        ),
    ),
    Route(
        "/api/queue/resume",
        JOBS,
        lambda context: PauseResource(context.services.spool, is_pause=False),
        Operation(
            method="POST",
            scope=Scope.ADMIN,
            summary="Resume the queue",
            description="Jobs are begun again.",
            answers={200: queue_answers.PauseAnswer},
        ),
    ),
)
