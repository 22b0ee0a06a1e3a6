"""How many HTTP requests were answered, and how quickly: counted over all workers, and over their restarts.

Each worker counts in a small file of its own, in memory where there is such a folder (prometheus_client's
multiprocess mode), and whoever is asked for the figures adds all of them up. A worker takes over the file of one
that has ended, so there are never more files than there were workers at once.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from pathlib import Path
from typing import Any, Final

from falcon import Request, Response
from prometheus_client import CollectorRegistry, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector

from core.locks import ExclusiveLock

logger = logging.getLogger(__name__)

#: The folder of the files; set by whoever starts the workers, and read by prometheus_client as well.
FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})
_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SECONDS: Final = Histogram(
    "cyberimage_http_request_seconds",
    "HTTP requests by route, method and class of status; of a stream, the time to its beginning.",
    ("route", "method", "status"),
    buckets=_BOUNDS,
    registry=None,
)
#: Held for as long as the process lives: the number of this worker among those that live.
_held: list[ExclusiveLock] = []


def share_between_workers() -> None:
    """Count in a file of this process, if there is a folder for it. Call it once, before the first request."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and not _held:
        number = _take_number(Path(folder))
        values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


def _take_number(folder: Path) -> int:
    for number in itertools.count():
        lock = ExclusiveLock(folder / f"{number}.lock")
        if lock.acquire():
            _held.append(lock)
            return number
    raise AssertionError("unreachable")


def register(registry: CollectorRegistry) -> None:
    """Let `registry` tell the figures of all workers, or of this process where there are no others."""
    if _held:
        MultiProcessCollector(registry, path=os.environ[FOLDER_VARIABLE])  # type: ignore[no-untyped-call]
    else:
        registry.register(_SECONDS)


class RequestMetrics:
    """Counts each request under the template of its route, never under its path, which anybody may choose."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Any] = {}

    def process_response(self, req: Request, resp: Response, resource: Any, req_succeeded: bool) -> None:
        """Count it; `req.context.began` is when it began."""
        route: str = req.uri_template or "none"
        if "wait" in req.params:
            route += "?wait"  # it takes as long as its client wants
        key = (route, req.method if req.method in _METHODS else "other", f"{str(resp.status)[0]}xx")
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._child(*key)
        if known:
            known.observe(time.monotonic() - req.context.began)

    def _child(self, route: str, method: str, status: str) -> Any:
        """The figures of one kind; False where they cannot be kept, which must not fail the request."""
        try:
            return _SECONDS.labels(route, method, status)
        except OSError as error:
            logger.warning("Requests of a kind cannot be counted: %s", error)
            return False
