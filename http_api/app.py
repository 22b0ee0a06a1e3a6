"""The application: which resource answers at which address."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import falcon
import msgspec
from falcon import Request, Response
from falcon.media import JSONHandler

from http_api import blocking, errors
from http_api.acceptance import Acceptance
from http_api.access import KeyFile, check_exposure
from http_api.enrich_resource import EnrichResource
from http_api.event_resource import EventResource
from http_api.gallery_resource import GalleryResource
from http_api.generate_resource import GenerateResource
from http_api.guards import HostGuard, KeyGuard
from http_api.health_resource import LiveResource, ReadyResource
from http_api.image_resource import ImageResource, MetadataResource, PngResource, ThumbnailResource
from http_api.job_look import Looker
from http_api.job_resource import CancelResource, JobListResource, PreviewResource, RetryResource
from http_api.metrics_resource import MetricsResource
from http_api.middleware import RequestId, RequestLog, SafetyHeaders, SameSiteOnly
from http_api.model_resource import ModelResource
from http_api.openapi_resource import OpenApiResource
from http_api.page_resource import PageResource
from http_api.parts import Parts, assemble
from http_api.queue_resource import QueueResource, ResetQueueResource
from http_api.status_resource import StatusResource
from http_api.watch import JobWatcher
from jobs.settings import Settings
from outputs.maintenance import INTERVAL, Maintenance

App = falcon.App[Request, Response]


def create_app(parts: Parts) -> App:
    """The WSGI application over these parts."""
    app: App = falcon.App(middleware=_middleware(parts.settings))
    app.req_options.strip_url_path_trailing_slash = True
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = JSONHandler(dumps=msgspec.json.encode)
    errors.register(app)
    _add_routes(app, parts)
    return app


def _middleware(settings: Settings) -> list[Any]:
    guards: list[Any] = [HostGuard(settings.allowed_hosts)] if settings.allowed_hosts else []
    guards += [KeyGuard(KeyFile(settings.api_keys))] if settings.api_keys else []
    return [RequestId(), RequestLog(), SafetyHeaders(), SameSiteOnly(), *guards]


def _add_routes(app: App, parts: Parts) -> None:
    looker = Looker(parts)
    watcher = JobWatcher(parts.spool, looker)
    acceptance = Acceptance(parts)
    app.add_route("/api/models", ModelResource(parts.catalog, parts.settings.data))
    app.add_route("/api/generate", GenerateResource(parts.validator, acceptance))
    app.add_route("/api/status/{job_id}", StatusResource(looker, watcher))
    app.add_route("/api/get_image/{image_id}", PngResource(parts.store))
    app.add_route("/api/image/{image_id}", ImageResource(parts.store))
    app.add_route("/api/image/{image_id}/metadata", MetadataResource(parts.store))
    app.add_route("/api/image/{image_id}/thumbnail", ThumbnailResource(parts.store, parts.spool.temporary))
    app.add_route("/api/queue", QueueResource(parts.jobs))
    app.add_route("/api/reset_queue", ResetQueueResource(parts.spool, parts.settings))
    app.add_route("/api/gallery", GalleryResource(parts.images))
    app.add_route("/api/enrich", EnrichResource(parts.enricher, parts.settings.prompt_limit))
    app.add_route("/api/jobs", JobListResource(parts.jobs))
    app.add_route("/api/jobs/{job_id}/events", EventResource(watcher))
    app.add_route("/api/jobs/{job_id}/preview", PreviewResource(parts.spool))
    app.add_route("/api/jobs/{job_id}/cancel", CancelResource(parts.spool))
    app.add_route("/api/jobs/{job_id}/retry", RetryResource(parts, acceptance))
    app.add_route("/api/openapi.json", OpenApiResource())
    app.add_route("/docs", PageResource(fixed="docs.html"))
    app.add_route("/health/live", LiveResource())
    app.add_route("/health/ready", ReadyResource(parts))
    app.add_route("/metrics", MetricsResource(parts))
    app.add_route("/", PageResource(fixed="index.html"))
    app.add_route("/static/{name}", PageResource())


def get_app() -> App:
    """The application for gunicorn, with settings from the environment; called once in each worker process."""
    settings = Settings.from_environment()
    check_exposure(settings)
    parts = assemble(settings)
    parts.spool.prepare(create_anyway=settings.create_data)
    maintenance = Maintenance(settings.data)
    maintenance.tick()
    threading.Thread(target=partial(_maintain, maintenance), name="maintenance", daemon=True).start()
    return create_app(parts)


def _maintain(maintenance: Maintenance) -> None:
    """Keep the indexes like the files for as long as the process lives."""
    while True:
        time.sleep(INTERVAL)
        blocking.run(maintenance.tick)
