"""An application over a spool of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from falcon.testing import DEFAULT_HOST, TestClient

from core.settings import Settings
from enrich.enricher import BuiltInEnricher
from http_api.app import create_app
from jobs.catalog import Catalog
from jobs.claims import Claim, claim
from jobs.requests import RequestValidator
from jobs.schema import Job, State
from jobs.spool import Spool
from outputs.sidecar import Sidecar
from service import watch
from service.pictures import Pictures
from service.rate_limit import Limited, RateLimiter
from service.services import Services
from tests.browser.stand_in import StandIn
from tests.described import check_answer
from tests.indexes import data_at
from tests.programs import wait_until
from tests.sidecars import sidecar_of


@pytest.fixture
def services(spool: Spool, catalog: Catalog, validator: RequestValidator) -> Services:
    """The services of an API over the test's data directory, without a rate limit."""
    data = data_at(spool.layout.data)
    data.jobs.repair()
    data.images.repair()
    return Services(
        **vars(data),
        settings=Settings(data=spool.layout.data, rate_limit=None, allowed_hosts=(DEFAULT_HOST,)),
        catalog=catalog,
        validator=validator,
        pictures=Pictures(data.inputs, data.store),
        enricher=BuiltInEnricher(500),
        limiter=RateLimiter(spool.layout.rate_limits, None),
        enrich_limiter=RateLimiter(spool.layout.rate_limits, None, kind=Limited.FORWARDED_PROMPTS),
        input_limiter=RateLimiter(spool.layout.rate_limits, None, kind=Limited.INPUTS),
    )


class CheckingClient(TestClient):
    """A client that compares every answer with the OpenAPI description."""

    def simulate_request(self, *args: Any, **kwargs: Any) -> Any:
        """One request."""
        answer = super().simulate_request(*args, **kwargs)
        method, path = (*args, kwargs.get("method", "GET"), kwargs.get("path", "/"))[:2]
        check_answer(method, path, answer.status_code, answer.headers.get("content-type", ""), answer.content)
        return answer


@pytest.fixture
def client(services: Services) -> TestClient:
    """A client of the application, in process."""
    return CheckingClient(create_app(services))


@pytest.fixture
def client_with(services: Services) -> Callable[..., TestClient]:
    """A client of an application with some services replaced."""
    return lambda **changes: CheckingClient(create_app(replace(services, **changes)))


@pytest.fixture
def submit(client: TestClient) -> Callable[..., str]:
    """Submit a job over HTTP; returns its id."""

    def send(prompt: str = "a castle", **settings: Any) -> str:
        body = {"model_id": "tiny", "prompt": prompt, "settings": settings}
        answer = client.simulate_post("/api/generate", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json["job_id"])

    return send


@pytest.fixture
def begin(services: Services) -> Callable[[str], Claim]:
    """Claim a job as a worker does, and begin its attempt."""

    def start(job_id: str) -> Claim:
        held = claim(services.spool, job_id)
        assert held is not None
        return held

    return start


@pytest.fixture
def draw(services: Services) -> Callable[..., Sidecar]:
    """Commit image `number` of a job, with `png` as its bytes."""

    def commit(job: Job, number: int = 1, png: bytes = b"\x89PNG not really") -> Sidecar:
        found = sidecar_of(job, number, png)
        services.store.commit(png, found)
        return found

    return commit


@pytest.fixture
def full_client(client_with: Callable[..., TestClient], services: Services) -> TestClient:
    """A client of an application whose queue is full: whatever is valid is answered 503."""
    return client_with(spool=Spool(services.layout, max_pending=0))


@pytest.fixture
def drawing(services: Services) -> Callable[[], AbstractContextManager[StandIn]]:
    """Begin to draw whatever is submitted, until the context is left."""

    @contextmanager
    def draw_all() -> Iterator[StandIn]:
        worker, stop = StandIn(services.layout.data), threading.Event()

        def work() -> None:
            while not stop.wait(0.01):
                worker.draw_pending()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield worker
        finally:
            stop.set()
            thread.join()

    return draw_all


class PatientWorker(StandIn):
    """A stand-in that lets readers look between two steps."""

    def pause(self) -> None:
        """Long enough for a watcher to have looked twice."""
        time.sleep(2 * watch.INTERVAL)


@pytest.fixture
def begin_first(services: Services) -> Iterator[Callable[..., None]]:
    """Wait in the background for the next job, claim it, and do something with the claim (and the worker)."""
    threads = []

    def start(work: Callable[..., None], *, with_worker: bool = False) -> None:
        worker = PatientWorker(services.layout.data)

        def wait() -> None:
            job_id = wait_until(lambda: next(worker.spool.ids(State.PENDING), None))
            held = claim(worker.spool, job_id)
            assert held is not None
            work(*([worker] if with_worker else []), held)

        threads.append(threading.Thread(target=wait))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()
