"""The application: the routes of its tables, and what is around every request."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import falcon
import msgspec
from falcon import Request, Response
from falcon.media import JSONHandler

from core.hosts import is_loopback
from core.settings import Settings
from http_api import collection_routes, input_routes, queue_routes, routes, site_routes
from http_api.a1111 import routes as a1111_routes
from http_api.access import KeyFile, check_exposure
from http_api.door import DoorFinder
from http_api.openai import routes as openai_routes
from http_api.route import Context, Operations, Route, add_routes
from http_api.server import blocking, errors, request_metrics
from http_api.server.checks import RequestChecks
from http_api.server.client_address import ClientAddressFinder
from http_api.server.cross_origin import CrossOrigin
from http_api.server.forwarded import ForwardedPrefix
from http_api.server.guards import HostGuard, KeyGuard
from http_api.server.middleware import RequestId, RequestLog, SafetyHeaders, SameSiteOnly
from http_api.server.request_metrics import RequestMetrics
from service.maintenance import INTERVAL, Maintenance
from service.services import Services, build_services

App = falcon.App[Request, Response]

#: All tables. Another API beside ours brings its own, and is added here.
ROUTES: Final = (
    *routes.ROUTES,
    *queue_routes.ROUTES,
    *collection_routes.ROUTES,
    *input_routes.ROUTES,
    *openai_routes.ROUTES,
    *a1111_routes.ROUTES,
    *site_routes.ROUTES,
)


def create_app(services: Services, table: Sequence[Route] = ROUTES) -> App:
    """The WSGI application over these services."""
    app: App = falcon.App(middleware=_middleware(services.settings, table))
    app.req_options.strip_url_path_trailing_slash = True
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = JSONHandler(dumps=msgspec.json.encode)
    errors.register(app, services.layout)
    add_routes(app, Context.of(services, table))
    return app


def _middleware(settings: Settings, table: Sequence[Route]) -> list[Any]:
    operations, monitored = Operations(table), [route.path for route in table if route.is_monitored]
    # A proxy on this machine may pass its own name on, so with one any name is fine unless the operator lists them.
    is_for_this_machine = is_loopback(settings.host) and not settings.trusted_proxies
    guards: list[Any] = []
    if settings.allowed_hosts or is_for_this_machine:
        guards.append(HostGuard(settings.allowed_hosts, monitored))
    if settings.api_keys:
        guards.append(KeyGuard(KeyFile(settings.api_keys), operations))
    return [
        DoorFinder(route.door for route in table),
        RequestId(),
        ClientAddressFinder(settings.trusted_proxies),
        RequestLog(),
        RequestMetrics(),
        CrossOrigin(settings.allowed_origins),
        SafetyHeaders(),
        ForwardedPrefix(settings.trusted_proxies),
        SameSiteOnly(settings.trusted_proxies, settings.allowed_origins),
        *guards,
        RequestChecks(operations),
    ]


def get_app() -> App:
    """The application for gunicorn, with settings from the environment; called once in each worker process."""
    request_metrics.share_between_workers()
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
        blocking.run(maintenance.tick, blocking.MAINTENANCE)
