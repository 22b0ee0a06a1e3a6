"""What a row of a table of routes says: an address, its resource, and for each method what it takes and returns.

Everything about an operation follows from its row: the application's routing, the scope that the key guard asks for,
the decoding of the parameters, and the OpenAPI description.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import falcon
from falcon import Request, Response
from msgspec import Struct

from core.strict_json import SIZE_LIMIT
from http_api.access import Scope
from http_api.api.page_events import render
from http_api.api.rendering import StatusRenderer
from http_api.door import NATIVE, Door
from http_api.server import stopping
from http_api.server.query import NoParameters
from service.page_watch import PageWatcher
from service.services import Services
from service.snapshot_reader import SnapshotReader
from service.submit import Submitter
from service.watch import JobWatcher

#: Methods that have a responder without a row: Falcon's own OPTIONS, and HEAD, which is as GET.
_IMPLIED: Final = frozenset({"OPTIONS", "HEAD"})


#: The struct of a JSON answer, a list of such structs, or the media type of another one.
Answer = type[Struct] | type[list[Any]] | str
#: By status: the answer, several where the request chooses, or None where there is no body.
Answers = Mapping[int, Answer | tuple[Answer, ...] | None]


@dataclass(frozen=True)
class Header:
    """A request header that an operation reads."""

    name: str
    about: str


@dataclass(frozen=True)
class Tag:
    """A group of addresses in the description."""

    name: str
    about: str


IF_NONE_MATCH: Final = Header("If-None-Match", "The ETag of the last answer: 304 if nothing has changed")
#: What whoever asks for a file may send.
FILE_HEADERS: Final = (IF_NONE_MATCH, Header("Range", "bytes=first-last: only a part of the file"))


def file_answers(media: str) -> Answers:
    """The answers of what sends a file: whole, a part of it, or nothing new."""
    return {200: media, 206: media, 304: None}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one address."""

    method: str
    scope: Scope
    summary: str
    description: str
    answers: Answers
    #: The struct of the query parameters; None: whatever is there is not looked at.
    query: type[Struct] | None = NoParameters
    headers: tuple[Header, ...] = ()
    #: The struct of the body; None: there is none to read.
    body: type[Struct] | None = None
    #: What the body is: JSON, or a form, in which the bytes of the struct are files.
    body_media: str = falcon.MEDIA_JSON
    #: The media types of a body that is a file, which may also be the one part of a form; empty: there is none.
    file_body: tuple[str, ...] = ()
    #: The largest body, in bytes.
    body_limit: int = SIZE_LIMIT
    #: Statuses of errors, beside those that follow from the rest of the row.
    errors: tuple[int, ...] = ()

    @property
    def is_reading(self) -> bool:
        """Whether it changes nothing."""
        return self.method == "GET"


@dataclass(frozen=True)
class Context:
    """What resources are made from: the services, and what they share in one process."""

    services: Services
    routes: tuple[Route, ...]
    reader: SnapshotReader
    watcher: JobWatcher
    submitter: Submitter
    page_watcher: PageWatcher
    renderer: StatusRenderer = field(default_factory=StatusRenderer)

    @classmethod
    def of(cls, services: Services, routes: Iterable[Route]) -> Context:
        """The context of an application."""
        reader = SnapshotReader(services)
        watcher = JobWatcher(services.spool, reader, stopping.is_stopping)
        page_watcher = PageWatcher(services, reader, render, stopping.is_stopping)
        return cls(services, tuple(routes), reader, watcher, Submitter(services), page_watcher)


class Route:
    """One address: a path with `{names}` in it, what is there, and what each method takes and returns.

    `path` is below the prefix of its `door`.
    """

    def __init__(
        self,
        path: str,
        tag: Tag,
        resource: Callable[[Context], object],
        *operations: Operation,
        is_monitored: bool = False,
        door: Door = NATIVE,
    ) -> None:
        self.path = f"{door.prefix}{path}"
        self.tag = tag
        self.resource = resource
        self.operations = operations
        self.door = door
        #: Whether monitors on this machine ask for it by a loopback address, whatever the server's public names are.
        self.is_monitored = is_monitored

    def operation_id(self, operation: Operation) -> str:
        """A name for generators of clients."""
        words = re.findall(r"[a-z_]+", self.path.removeprefix("/api"))
        return "_".join([operation.method.lower(), *words])


class Operations:
    """Finds the row of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._rows = {(row.method, route.path): row for route in routes for row in route.operations}
        self._rows |= {("HEAD", path): row for (method, path), row in self._rows.items() if method == "GET"}

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._rows.values())

    def of(self, req: Request) -> Operation | None:
        """The operation that a routed request asks for; None for OPTIONS, and for a method that is not served."""
        return self._rows.get((req.method, req.uri_template or ""))


def add_routes(app: falcon.App[Request, Response], context: Context) -> None:
    """Serve the routes of the context; raises ValueError for a resource that serves other methods than its row says."""
    for route in context.routes:
        resource = route.resource(context)
        served = {method for method in falcon.COMBINED_METHODS if hasattr(resource, f"on_{method.lower()}")}
        described = {operation.method for operation in route.operations}
        if served - _IMPLIED != described or ("HEAD" in served and "GET" not in served):
            raise ValueError(f"{route.path} serves {sorted(served)}, but its row says {sorted(described)}.")
        app.add_route(route.path, resource)
