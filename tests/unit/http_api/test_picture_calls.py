"""Clients that hang up while they wait: what becomes of their jobs, whatever else happens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from falcon.testing import TestClient

from http_api import picture_calls
from http_api.server import connection, stopping
from jobs.schema import State
from jobs.spool import Spool
from service.services import Services
from tests.programs import wait_until

PATH = "/v1/images/generations"
BODY = {"prompt": "a castle"}


@pytest.fixture
def hang_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let every client be gone from now on; before, none is."""
    gone = threading.Event()
    monkeypatch.setattr(connection, "is_gone", lambda _req: gone.is_set())
    return gone.set


@pytest.fixture
def left(client: TestClient, services: Services, hang_up: Callable[[], None]) -> Callable[..., str]:
    """Call, and hang up once the job is there; returns the job's id."""

    plain = TestClient(client.app)  # what is answered to nobody is not described

    def leave(**headers: str) -> str:
        call = threading.Thread(target=lambda: plain.simulate_post(PATH, json=BODY, headers=headers))
        call.start()
        job_id = wait_until(lambda: next(iter(services.spool.ids(State.PENDING)), None), about="the job")
        hang_up()
        call.join()
        return job_id

    return leave


def is_cancelled(services: Services, job_id: str) -> bool:
    return services.spool.find(job_id)[0] is State.CANCELLED


def test_the_job_of_a_library_that_does_not_come_back_is_cancelled_after_a_while(
    services: Services, left: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_calls, "RETURN_SECONDS", 0.4)
    job_id = left(**{picture_calls.TRIES: "0"})
    assert not is_cancelled(services, job_id)
    wait_until(lambda: is_cancelled(services, job_id), about="the job to be cancelled")


def test_a_cancellation_that_the_disk_refuses_is_told_in_the_log(
    services: Services, left: Callable[..., str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_spool: Spool, _job_id: str) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spool, "cancel", refuse)
    with caplog.at_level(logging.WARNING):
        job_id = left()
        wait_until(lambda: "could not be cancelled" in caplog.text, about="the log")
    assert not is_cancelled(services, job_id)


def test_a_job_that_is_gone_by_then_harms_nobody(
    services: Services, left: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_calls, "RETURN_SECONDS", 0.4)
    job_id = left(**{picture_calls.TRIES: "0"})
    (services.spool.path(State.PENDING, job_id)).unlink()
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "hung-up"])


def test_a_server_that_ends_says_so_and_cancels_nothing(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in (False, True):
        answers: list[Any] = []
        body = {**BODY, "stream": stream}
        call = threading.Thread(
            target=lambda body=body, into=answers: into.append(client.simulate_post(PATH, json=body))
        )
        call.start()
        job_id = wait_until(lambda: next(iter(services.spool.ids(State.PENDING)), None), about="the job")
        monkeypatch.setattr(stopping, "_stopping", True)
        call.join()
        monkeypatch.setattr(stopping, "_stopping", False)
        assert "restarting" in answers[0].text
        assert answers[0].status_code == (200 if stream else 503)
        assert services.spool.find(job_id)[0] is State.PENDING
        services.spool.cancel(job_id)


def test_a_job_that_vanishes_while_it_is_waited_for_is_told(client: TestClient, services: Services) -> None:
    for stream in (False, True):
        answers: list[Any] = []
        body = {**BODY, "stream": stream}
        call = threading.Thread(
            target=lambda body=body, into=answers: into.append(client.simulate_post(PATH, json=body))
        )
        call.start()
        job_id = wait_until(lambda: next(iter(services.spool.ids(State.PENDING)), None), about="the job")
        services.spool.path(State.PENDING, job_id).unlink()
        call.join()
        assert "No job has the id" in answers[0].text
        assert answers[0].status_code == (200 if stream else 404)
