"""The table of the API's routes: each address, its resource, and what its methods take and return."""

from __future__ import annotations

from typing import Final

from core.strict_json import SIZE_LIMIT
from enrich.enricher import STYLES
from http_api.access import Scope
from http_api.api import answers, queue_answers
from http_api.api.enrich import EnrichRequest, EnrichResource
from http_api.api.events import EventResource
from http_api.api.gallery import GalleryQuery, GalleryResource
from http_api.api.generate import GenerateResource
from http_api.api.images import ImageResource, MetadataResource, PngResource, ThumbnailResource
from http_api.api.jobs import (
    CancelResource,
    JobListQuery,
    JobListResource,
    PreviewQuery,
    PreviewResource,
    RetryResource,
)
from http_api.api.me import MeResource
from http_api.api.models import ModelResource
from http_api.api.queue import QueueQuery, QueueResource, ResetQueueResource
from http_api.api.status import StatusQuery, StatusResource
from http_api.route import FILE_HEADERS, IF_NONE_MATCH, Header, Operation, Route, Tag, file_answers
from jobs.pictures import LONGEST_DATA_URL
from jobs.schema import GenerateRequest

JOBS: Final = Tag("jobs", "Submit jobs, follow them, cancel them, try them again.")
IMAGES: Final = Tag("images", "The pictures, what is known of them, and the gallery.")
MODELS: Final = Tag("models", "What can be drawn with, and fuller prompts to draw from.")

_KEY: Final = Header(
    "Idempotency-Key",
    "The same key and request of the same client (API key, else address) give the same job, also after its end",
)
_LAST_EVENT: Final = Header("Last-Event-ID", "The id of the last event seen; it is not sent again")


ROUTES: Final = (
    Route(
        "/api/generate",
        JOBS,
        lambda context: GenerateResource(context.services.validator, context.submitter),
        Operation(
            method="POST",
            scope=Scope.SUBMIT,
            summary="Submit a job",
            description="The job is stored before the answer, and survives a power cut from then on. "
            "Location leads to its status.",
            headers=(_KEY,),
            body=GenerateRequest,
            body_limit=SIZE_LIMIT + 2 * LONGEST_DATA_URL,
            answers={200: answers.AcceptedAnswer},
            errors=(422, 429),
        ),
    ),
    Route(
        "/api/status/{job_id}",
        JOBS,
        lambda context: StatusResource(context.reader, context.watcher, context.renderer),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="See how a job is doing",
            description="At once, or with `wait` when there is news. Images are listed as soon as each is stored.",
            query=StatusQuery,
            headers=(IF_NONE_MATCH,),
            answers={200: answers.StatusAnswer, 304: None},
            errors=(409,),
        ),
    ),
    Route(
        "/api/jobs",
        JOBS,
        lambda context: JobListResource(context.services.jobs),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="List jobs, newest first",
            description="A page of jobs; `next_cursor` leads to the one after it, whatever comes and goes meanwhile.",
            query=JobListQuery,
            answers={200: answers.JobsAnswer},
        ),
    ),
    Route(
        "/api/jobs/{job_id}/events",
        JOBS,
        lambda context: EventResource(context.watcher, context.renderer),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="Follow a job",
            description="Server-sent events: `status` events with the answer of /api/status, and one `end` event.",
            headers=(_LAST_EVENT,),
            answers={200: "text/event-stream", 204: None},
            errors=(409,),
        ),
    ),
    Route(
        "/api/jobs/{job_id}/preview",
        JOBS,
        lambda context: PreviewResource(context.services.spool),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="How the current image looks so far",
            description="Only while a model that supports previews draws; 404 where there is none.",
            query=PreviewQuery,
            headers=FILE_HEADERS,
            answers=file_answers("image/webp"),
            errors=(409,),
        ),
    ),
    Route(
        "/api/jobs/{job_id}/cancel",
        JOBS,
        lambda context: CancelResource(context.services.spool),
        Operation(
            method="POST",
            scope=Scope.SUBMIT,
            summary="Cancel a job",
            description="At once if it waits, within a step if it runs. Images that are stored stay.",
            answers={200: answers.CancelAnswer},
            errors=(409,),
        ),
    ),
    Route(
        "/api/jobs/{job_id}/retry",
        JOBS,
        lambda context: RetryResource(context.submitter),
        Operation(
            method="POST",
            scope=Scope.SUBMIT,
            summary="Submit the request of an ended job again",
            description="A new job with the same seed; its `retry_of` names the old one.",
            headers=(_KEY,),
            answers={200: answers.AcceptedAnswer},
            errors=(409, 422, 429),
        ),
    ),
    Route(
        "/api/queue",
        JOBS,
        lambda context: QueueResource(context.services.jobs, context.reader),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="Count the jobs",
            description="By state; with `detailed` also those of the last 24 hours, by model, and the failure rate.",
            query=QueueQuery,
            answers={200: answers.QueueAnswer},
        ),
    ),
    Route(
        "/api/reset_queue",
        JOBS,
        lambda context: ResetQueueResource(context.services.spool, context.services.settings),
        Operation(
            method="POST",
            scope=Scope.ADMIN,
            summary="Return stalled jobs to pending",
            description="Only jobs whose runner is gone; a job that a living process holds is never touched.",
            answers={200: answers.ResetAnswer},
        ),
    ),
    Route(
        "/api/gallery",
        IMAGES,
        lambda context: GalleryResource(context.services.images, context.services.spool),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="Browse and search the images, newest first",
            description="By page number, or safely while images come and go by the `next_cursor` of the page before.",
            query=GalleryQuery,
            answers={200: answers.GalleryAnswer},
            errors=(404, 409),
        ),
    ),
    Route(
        "/api/get_image/{image_id}",
        IMAGES,
        lambda context: PngResource(context.services.store),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="Download an image",
            description="The PNG. An image never changes under its id, so any cache may keep it.",
            headers=FILE_HEADERS,
            answers=file_answers("image/png"),
        ),
    ),
    Route(
        "/api/image/{image_id}/thumbnail",
        IMAGES,
        lambda context: ThumbnailResource(context.services.store),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="A small version of an image",
            description="A WebP for galleries, made when it is first asked for.",
            headers=FILE_HEADERS,
            answers=file_answers("image/webp"),
        ),
    ),
    Route(
        "/api/image/{image_id}/metadata",
        IMAGES,
        lambda context: MetadataResource(context.services.store),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="Everything about an image",
            description="What it was made with, down to the versions and the seed that make it again.",
            answers={200: answers.MetadataAnswer},
        ),
    ),
    Route(
        "/api/image/{image_id}",
        IMAGES,
        lambda context: ImageResource(context.services.spool, context.services.store),
        Operation(
            method="DELETE",
            scope=Scope.ADMIN,
            summary="Delete an image",
            description="Its job stays, and lists it no more.",
            answers={200: answers.DoneAnswer},
        ),
    ),
    Route(
        "/api/models",
        MODELS,
        lambda context: ModelResource(context.services.catalog, context.services.layout),
        Operation(
            method="GET",
            scope=Scope.READ,
            summary="List the models",
            description="The catalog: what each can do, whether its weights are here, and the default.",
            answers={200: answers.ModelsAnswer},
        ),
    ),
    Route(
        "/api/enrich",
        MODELS,
        lambda context: EnrichResource(
            context.services.enricher, context.services.enrich_limiter, context.services.settings.prompt_limit
        ),
        Operation(
            method="POST",
            scope=Scope.SUBMIT,
            summary="Make a fuller prompt",
            description=f"In one of the styles {', '.join(STYLES)}; the words of the prompt are kept.",
            body=EnrichRequest,
            answers={200: answers.EnrichAnswer},
            errors=(429,),
        ),
    ),
    Route(
        "/api/me",
        MODELS,
        lambda context: MeResource(),
        Operation(
            method="GET",
            scope=Scope.ANY,
            summary="What this key may do",
            description="Its name and scopes; all scopes where no keys are needed.",
            answers={200: queue_answers.MeAnswer},
        ),
    ),
)
