"""Calls that wait for their pictures, before a real server: clients that hang up, come back, and come in crowds."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from core.locks import Presence
from http_api.picture_calls import TRIES
from jobs.schema import State
from tests.browser.stand_in import StandIn
from tests.programs import ApiProcess, api, children_of, wait_until

OPENAI, A1111 = "/v1/images/generations", "/sdapi/v1/txt2img"
both = pytest.mark.parametrize("path", [OPENAI, A1111])


@pytest.fixture
def worker(server: ApiProcess) -> StandIn:
    """Draws, when it is told to, what the server accepts."""
    return StandIn(Path(server.environment["CYBERIMAGE_DATA"]))


def jobs_of(worker: StandIn, prompt: str) -> list[str]:
    """The ids of all jobs with this prompt, in whatever state."""
    ids = {job_id for state in State for job_id in worker.spool.ids(state)}
    return [job_id for job_id in ids if worker.spool.find(job_id)[1].prompt == prompt]


def the_job(worker: StandIn, prompt: str) -> str:
    """The one job with this prompt, once it is there."""
    (job_id,) = wait_until(lambda: jobs_of(worker, prompt), about=f"a job {prompt}")
    return job_id


def is_cancelled(worker: StandIn, job_id: str) -> bool:
    return worker.spool.find(job_id)[0] is State.CANCELLED


@contextmanager
def calling(server: ApiProcess, path: str, prompt: str, **more: str) -> Iterator[socket.socket]:
    """A call that waits, on a connection that is closed at the end; `more` are headers."""
    body = json.dumps({"prompt": prompt, "stream": more.pop("stream", "") == "yes"}).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}"]).encode() + b"\r\n\r\n"
    address = urlsplit(server.base)
    with socket.create_connection((address.hostname, address.port), timeout=120) as connection:
        connection.sendall(head + body)
        yield connection


def hang_up(server: ApiProcess, worker: StandIn, path: str, prompt: str, **more: str) -> str:
    """Call, and hang up when the job is there; returns its id."""
    with calling(server, path, prompt, **more):
        return the_job(worker, prompt)


@both
def test_a_client_that_hangs_up_has_its_job_cancelled(server: ApiProcess, worker: StandIn, path: str) -> None:
    job_id = hang_up(server, worker, path, f"left at {path}")
    wait_until(lambda: is_cancelled(worker, job_id), about="the job to be cancelled")


@both
def test_but_not_while_somebody_else_watches_it(server: ApiProcess, worker: StandIn, path: str) -> None:
    prompt = f"watched at {path}"
    with calling(server, path, prompt):
        job_id = the_job(worker, prompt)
        watching = httpx.stream("GET", f"{server.base}/api/jobs/{job_id}/events", timeout=120)
        events = watching.__enter__()
        next(events.iter_bytes())
    with calling(server, path, "a later one"):  # whoever has hung up before was seen to before this one's job is there
        later = the_job(worker, "a later one")
    wait_until(lambda: is_cancelled(worker, later), about="the later job to be cancelled")
    assert not is_cancelled(worker, job_id)
    watching.__exit__(None, None, None)
    worker.draw_pending()


def test_nor_one_that_was_named_by_a_key(server: ApiProcess, worker: StandIn) -> None:
    job_id = hang_up(server, worker, OPENAI, "named", Idempotency_Key="castle-1")
    later = hang_up(server, worker, OPENAI, "not named")
    wait_until(lambda: is_cancelled(worker, later), about="the other job to be cancelled")
    assert not is_cancelled(worker, job_id)
    worker.draw_pending()
    answer = httpx.post(server.base + OPENAI, json={"prompt": "named"}, headers={"Idempotency-Key": "castle-1"})
    assert answer.status_code == 200
    assert jobs_of(worker, "named") == [job_id]


def test_a_library_that_repeats_its_call_gets_the_job_of_the_first_try(server: ApiProcess, worker: StandIn) -> None:
    job_id = hang_up(server, worker, OPENAI, "repeated", **{TRIES: "0"})
    for number in ("1", "2"):
        assert hang_up(server, worker, OPENAI, "repeated", **{TRIES: number}) == job_id
    attending = Presence(worker.spool.layout.marker)
    wait_until(lambda: attending.others(f"leaving {job_id}"), about="the server to see that it was left")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(repeat, server, "repeated", 3)
        wait_until(lambda: attending.others(job_id), about="the last try")
        worker.draw_pending()
        assert len(answer.result().json()["data"]) == 1
    assert jobs_of(worker, "repeated") == [job_id]


def repeat(server: ApiProcess, prompt: str, tries: int) -> httpx.Response:
    headers = {TRIES: str(tries)}
    return httpx.post(server.base + OPENAI, json={"prompt": prompt}, headers=headers, timeout=120)


def test_repeats_in_crowds_make_no_second_job(server: ApiProcess, worker: StandIn) -> None:
    """Ten calls, of which some are equal, that are each repeated for as long as they are not answered."""
    prompts = [f"crowd {number % 5}" for number in range(10)]
    with ExitStack() as first:
        for prompt in prompts:
            first.enter_context(calling(server, OPENAI, prompt, **{TRIES: "0"}))
        wait_until(lambda: sum(len(jobs_of(worker, f"crowd {number}")) for number in range(5)) == 10)
    for number in range(1, 21):
        with ExitStack() as tries:
            for prompt in prompts:
                tries.enter_context(calling(server, OPENAI, prompt, **{TRIES: str(number)}))
    assert [len(jobs_of(worker, f"crowd {number}")) for number in range(5)] == [2] * 5
    with ThreadPoolExecutor(10) as pool:
        answers = [pool.submit(repeat, server, prompt, 21) for prompt in prompts]
        while not all(answer.done() for answer in answers):
            worker.draw_pending()
        assert {answer.result().status_code for answer in answers} == {200}
    assert [len(jobs_of(worker, f"crowd {number}")) for number in range(5)] == [2] * 5


def test_two_hundred_that_wait_hold_up_nobody_and_leave_nothing(server: ApiProcess, worker: StandIn) -> None:
    prompts = [f"waits {number}" for number in range(200)]
    with ExitStack() as waiting:
        for number, prompt in enumerate(prompts):
            waiting.enter_context(calling(server, (OPENAI, A1111)[number % 2], prompt))
        pending = worker.spool.layout.state(State.PENDING)
        wait_until(lambda: len(os.listdir(pending)) >= 200, about="all jobs")
        for path in ("/api/queue", "/v1/models", "/sdapi/v1/progress", "/health/live", "/api/models"):
            assert httpx.get(server.base + path, timeout=60).status_code == 200
    wait_until(lambda: not os.listdir(pending), about="all of them to be cancelled")
    assert not os.listdir(worker.spool.layout.callers)


# --- Streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut_after", [0, 1, 2])
def test_a_stream_that_is_cut_at_any_event_has_its_job_cancelled(
    server: ApiProcess, worker: StandIn, cut_after: int
) -> None:
    prompt = f"cut {cut_after}"
    body = {"prompt": prompt, "stream": True, "partial_images": 3, "num_inference_steps": 4}
    with httpx.stream("POST", server.base + OPENAI, json=body, timeout=120) as answer:
        told = answer.iter_lines()
        held = worker.begin(the_job(worker, prompt), step=1)
        for step in range(1, cut_after + 1):
            worker.report(held, step)
            worker.show(held)
            next(line for line in told if line == "event: image_generation.partial_image")
    wait_until(lambda: worker.spool.cancel_requested(held.job.id), about="a request to stop")
    held.cancel()


# --- Servers that end -----------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path, catalog_file: Path) -> Iterator[ApiProcess]:
    """A server that a test may end."""
    with api(tmp_path / "data", {"CYBERIMAGE_CATALOG": str(catalog_file)}, workers=2) as program:
        yield program


@pytest.mark.parametrize("end", ["restart", "kill"])
def test_a_call_survives_the_end_of_the_server_or_of_its_worker(own: ApiProcess, end: str) -> None:
    worker = StandIn(Path(own.environment["CYBERIMAGE_DATA"]))
    with calling(own, OPENAI, "castle", **{TRIES: "0"}) as connection:
        job_id = the_job(worker, "castle")
        if end == "restart":
            own.end()
            head = connection.recv(65536)
            assert b" 503 " in head.split(b"\r\n")[0]
            assert b"x-should-retry: true" in head.lower()
            own.start()
            own.wait_until_ready()
        else:
            for pid in children_of(own.pid):
                os.kill(pid, signal.SIGKILL)
            assert connection.recv(1) == b""
            wait_until(lambda: len(children_of(own.pid)) == 2, about="new workers")
            own.wait_until_ready()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(repeat, own, "castle", 1)
        wait_until(lambda: Presence(worker.spool.layout.marker).others(job_id), about="the second try")
        worker.draw_pending()
        assert answer.result().status_code == 200
    assert jobs_of(worker, "castle") == [job_id]


# --- Bad input, and what several processes share --------------------------------------------------


@both
def test_a_body_of_50_megabytes_is_refused_before_it_is_read(server: ApiProcess, path: str) -> None:
    address = urlsplit(server.base)
    with socket.create_connection((address.hostname, address.port), timeout=60) as plain:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {50 << 20}"
        )
        plain.sendall(head.encode() + b"\r\n\r\n{")
        received = b""
        while data := plain.recv(65536):
            received += data
    head_of_answer, _, body = received.partition(b"\r\n\r\n")
    assert b" 413 " in head_of_answer.split(b"\r\n")[0]
    assert "error" in json.loads(body)


def test_what_a_caller_chose_is_known_to_all_workers(server: ApiProcess) -> None:
    chosen: Callable[[], str] = lambda: httpx.get(f"{server.base}/sdapi/v1/options").json()["sd_model_checkpoint"]  # noqa: E731
    assert httpx.post(f"{server.base}/sdapi/v1/options", json={"sd_model_checkpoint": "tiny"}).status_code == 200
    assert {chosen() for _ in range(12)} == {"tiny"}
