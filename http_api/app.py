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

from core.hosts import is_loopback
from core.settings import Settings
from http_api.access import KeyFile, check_exposure
from http_api.api.description import OpenApiResource
from http_api.api.enrich import EnrichResource
from http_api.api.events import EventResource
from http_api.api.gallery import GalleryResource
from http_api.api.generate import GenerateResource
from http_api.api.health import LiveResource, ReadyResource
from http_api.api.images import ImageResource, MetadataResource, PngResource, ThumbnailResource
from http_api.api.jobs import CancelResource, JobListResource, PreviewResource, RetryResource
from http_api.api.metrics import MetricsResource
from http_api.api.models import ModelResource
from http_api.api.page import PageResource
from http_api.api.queue import QueueResource, ResetQueueResource
from http_api.api.rendering import StatusRenderer
from http_api.api.status import StatusResource
from http_api.server import blocking, errors, stopping
from http_api.server.forwarded import ForwardedPrefix
from http_api.server.guards import HostGuard, KeyGuard
from http_api.server.middleware import RequestId, RequestLog, SafetyHeaders, SameSiteOnly
from service.maintenance import INTERVAL, Maintenance
from service.services import Services, build_services
from service.snapshot_reader import SnapshotReader
from service.submit import Submitter
from service.watch import JobWatcher

App = falcon.App[Request, Response]


def create_app(services: Services) -> App:
    """The WSGI application over these services."""
    app: App = falcon.App(middleware=_middleware(services.settings))
    app.req_options.strip_url_path_trailing_slash = True
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = JSONHandler(dumps=msgspec.json.encode)
    errors.register(app)
    _add_routes(app, services)
    return app


def _middleware(settings: Settings) -> list[Any]:
    # A proxy on this machine may pass its own name on, so with one any name is fine unless the operator lists them.
    is_for_this_machine = is_loopback(settings.host) and not settings.trusted_proxies
    guards: list[Any] = [HostGuard(settings.allowed_hosts)] if settings.allowed_hosts or is_for_this_machine else []
    guards += [KeyGuard(KeyFile(settings.api_keys))] if settings.api_keys else []
    return [
        RequestId(),
        RequestLog(),
        SafetyHeaders(),
        ForwardedPrefix(settings.trusted_proxies),
        SameSiteOnly(settings.trusted_proxies),
        *guards,
    ]


def _add_routes(app: App, services: Services) -> None:
    reader = SnapshotReader(services)
    watcher = JobWatcher(services.spool, reader, stopping.is_stopping)
    renderer = StatusRenderer()
    submitter, proxies = Submitter(services), services.settings.trusted_proxies
    app.add_route("/api/models", ModelResource(services.catalog, services.layout))
    app.add_route("/api/generate", GenerateResource(services.validator, submitter, proxies))
    app.add_route("/api/status/{job_id}", StatusResource(reader, watcher, renderer))
    app.add_route("/api/get_image/{image_id}", PngResource(services.store))
    app.add_route("/api/image/{image_id}", ImageResource(services.spool, services.store))
    app.add_route("/api/image/{image_id}/metadata", MetadataResource(services.store))
    app.add_route("/api/image/{image_id}/thumbnail", ThumbnailResource(services.store))
    app.add_route("/api/queue", QueueResource(services.jobs))
    app.add_route("/api/reset_queue", ResetQueueResource(services.spool, services.settings))
    app.add_route("/api/gallery", GalleryResource(services.images))
    app.add_route("/api/enrich", EnrichResource(services.enricher, services.settings.prompt_limit))
    app.add_route("/api/jobs", JobListResource(services.jobs))
    app.add_route("/api/jobs/{job_id}/events", EventResource(watcher, renderer))
    app.add_route("/api/jobs/{job_id}/preview", PreviewResource(services.spool))
    app.add_route("/api/jobs/{job_id}/cancel", CancelResource(services.spool))
    app.add_route("/api/jobs/{job_id}/retry", RetryResource(submitter, proxies))
    app.add_route("/api/openapi.json", OpenApiResource())
    app.add_route("/docs", PageResource(fixed="docs.html"))
    app.add_route("/health/live", LiveResource())
    app.add_route("/health/ready", ReadyResource(services))
    app.add_route("/metrics", MetricsResource(services))
    app.add_route("/", PageResource(fixed="index.html"))
    app.add_route("/static/{name}", PageResource())


def get_app() -> App:
    """The application for gunicorn, with settings from the environment; called once in each worker process."""
    settings = Settings.from_environment()
    check_exposure(settings)
    services = build_services(settings)
    services.spool.prepare(create_anyway=settings.create_data)
    maintenance = Maintenance(services)
    maintenance.tick()
    threading.Thread(target=partial(_maintain, maintenance), name="maintenance", daemon=True).start()
    return create_app(services)


def _maintain(maintenance: Maintenance) -> None:
    """Keep the indexes like the files for as long as the process lives."""
    while True:
        time.sleep(INTERVAL)
        blocking.run(maintenance.tick)
