"""Calls that a client's library repeats: one job for each call, however often each of them is sent."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.locks import Presence
from core.settings import Settings
from enrich.enricher import BuiltInEnricher
from jobs.catalog import Catalog
from jobs.claims import claim
from jobs.errors import JobBusy
from jobs.requests import RequestValidator
from jobs.schema import GenerateRequest, JobError, State
from jobs.spool import Spool
from service.errors import ClientGone
from service.pictures import Pictures
from service.rate_limit import Limited, RateLimiter
from service.repeats import Repeats
from service.services import Services
from service.submit import Client, Submitter
from tests.indexes import data_at

FIRST, SECOND = Client(address="1", tries=0), Client(address="1", tries=1)


@pytest.fixture
def services(spool: Spool, catalog: Catalog, validator: RequestValidator) -> Services:
    limits, data = spool.layout.rate_limits, data_at(spool.layout.data)
    return Services(
        **vars(data),
        settings=Settings(data=spool.layout.data),
        catalog=catalog,
        validator=validator,
        pictures=Pictures(data.inputs, data.store),
        enricher=BuiltInEnricher(500),
        limiter=RateLimiter(limits, None),
        enrich_limiter=RateLimiter(limits, None, kind=Limited.FORWARDED_PROMPTS),
        input_limiter=RateLimiter(limits, None, kind=Limited.INPUTS),
    )


@pytest.fixture
def submitter(services: Services) -> Submitter:
    return Submitter(services)


def castle(services: Services, prompt: str = "a castle", *, seed: int | None = None) -> GenerateRequest:
    body = {"model_id": "tiny", "prompt": prompt, "settings": {"seed": seed}}
    return services.validator.generate(json.dumps(body).encode())


def jobs(spool: Spool) -> int:
    return sum(1 for state in State for _ in spool.ids(state))


def test_equal_calls_make_a_job_each_and_their_repeats_none(services: Services, submitter: Submitter) -> None:
    first, second = (submitter.submit(castle(services), FIRST)[1].id for _ in range(2))
    assert first != second
    with Presence(services.layout.marker).attend(second):  # somebody waits for it already
        assert submitter.submit(castle(services), SECOND)[1].id == first
    with Presence(services.layout.marker).attend(first):
        assert submitter.submit(castle(services), SECOND)[1].id == second
    with Presence(services.layout.marker).attend(first), Presence(services.layout.marker).attend(second):
        assert submitter.submit(castle(services), SECOND)[1].id in (first, second)
    assert jobs(services.spool) == 2


@pytest.mark.parametrize(
    ("client", "seed"),
    [(Client(address="2", tries=1), None), (Client(address="1", key_name="k", tries=1), None), (SECOND, 1)],
)
def test_repeats_of_others_and_of_other_requests_meet_nothing(
    services: Services, submitter: Submitter, client: Client, seed: int | None
) -> None:
    first = submitter.submit(castle(services), FIRST)[1]
    assert submitter.submit(castle(services, seed=seed), client)[1].id != first.id


def test_a_repeat_whose_first_try_never_came_makes_the_job(services: Services, submitter: Submitter) -> None:
    (state, job), again = submitter.submit(castle(services), SECOND), submitter.submit(castle(services), SECOND)
    assert (state, again[1].id) == (State.PENDING, job.id)


def test_a_repeat_gets_what_has_just_ended_but_nothing_older(services: Services, submitter: Submitter) -> None:
    job = submitter.submit(castle(services), FIRST)[1]
    held = claim(services.spool, job.id)
    assert held is not None
    held.complete()
    assert submitter.submit(castle(services), SECOND) == services.spool.find(job.id)
    now = [0.0]
    later = Repeats(services.spool, lambda: now[0])
    real = Repeats(services.spool)
    fingerprint = fingerprint_of(services, submitter, FIRST)
    assert real.find(fingerprint) is not None
    now[0] = real._now() + 60
    assert later.find(fingerprint) is None


def fingerprint_of(services: Services, submitter: Submitter, client: Client) -> str:
    """What `Repeats` is asked with for the request of these tests."""
    with patch.object(submitter._repeats, "find", wraps=submitter._repeats.find) as found:
        submitter.submit(castle(services), client._replace(tries=1))
    return str(found.call_args.args[0])


@pytest.mark.parametrize("end", ["cancel", "fail"])
def test_a_cancelled_job_is_drawn_again_and_a_failed_one_is_told_again(
    services: Services, submitter: Submitter, end: str
) -> None:
    job = submitter.submit(castle(services), FIRST)[1]
    if end == "cancel":
        services.spool.cancel(job.id)
        assert submitter.submit(castle(services), SECOND)[1].id != job.id
    else:
        held = claim(services.spool, job.id)
        assert held is not None
        held.fail(JobError(type="out_of_memory", message="too large"))
        assert submitter.submit(castle(services), SECOND)[0] is State.FAILED


def test_a_try_whose_client_has_hung_up_makes_no_job(services: Services, submitter: Submitter) -> None:
    with pytest.raises(ClientGone):
        submitter.submit(castle(services), FIRST._replace(is_gone=lambda: True))
    assert jobs(services.spool) == 0


def test_a_repeat_waits_for_a_first_try_that_is_being_stored(services: Services, submitter: Submitter) -> None:
    fingerprint = fingerprint_of(services, submitter, FIRST)
    storing = Presence(services.layout.marker)
    with storing.attend(fingerprint), pytest.raises(JobBusy):
        submitter.submit(castle(services), SECOND)
    assert submitter.submit(castle(services), SECOND)[1].id


def test_a_thousand_repeats_of_many_calls_at_once_make_no_second_job(services: Services, submitter: Submitter) -> None:
    calls, repeats = 20, 50
    sent = [castle(services, f"castle {number % 4}") for number in range(calls)]
    first = [submitter.submit(request, FIRST)[1].id for request in sent]
    assert len(set(first)) == calls
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda request: submitter.submit(request, SECOND)[1].id, sent * repeats))
    assert set(again) <= set(first)
    assert jobs(services.spool) == calls


def test_the_rate_limit_counts_calls_and_not_their_repeats(services: Services) -> None:
    from core.settings import RateLimit

    limited = RateLimiter(services.layout.rate_limits, RateLimit(amount=1, seconds=3600))
    submitter = Submitter(Services(**{**vars(services), "limiter": limited}))
    ids = {submitter.submit(castle(services), FIRST._replace(tries=number))[1].id for number in range(4)}
    assert len(ids) == 1


@settings(max_examples=40)
@given(taken=st.integers(0, 300))
def test_the_next_number_is_found_however_many_are_taken(taken: int) -> None:
    repeats = Repeats(Spool.__new__(Spool))
    with patch.object(repeats, "_has", lambda _fingerprint, _window, number: number < taken):
        assert repeats._count("x", 0) == taken


def test_many_first_tries_at_once_make_a_job_each(services: Services, submitter: Submitter, tmp_path: Path) -> None:
    barrier = threading.Barrier(6)

    def send(_: int) -> str:
        barrier.wait()
        return submitter.submit(castle(services), FIRST)[1].id

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(send, range(6)))) == 6


def test_a_repeat_prefers_the_call_that_everybody_has_left(services: Services, submitter: Submitter) -> None:
    ids = [submitter.submit(castle(services), FIRST)[1].id for _ in range(5)]
    with ExitStack() as held:
        for job_id in ids[:2] + ids[3:]:
            held.enter_context(Presence(services.layout.marker).attend(job_id))
        assert submitter.submit(castle(services), SECOND)[1].id == ids[2]
