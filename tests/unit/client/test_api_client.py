"""The client against an API that is played: what it sends, what it makes of answers, what it tries again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import client as package
from client import CyberImageClient, job_wait
from client.errors import (
    ClientError,
    JobFailed,
    NotFound,
    RateLimited,
    RejectedInput,
    ServerError,
    ServerUnavailable,
    ServerUnreachable,
    UnexpectedAnswer,
    WaitTimedOut,
)
from client.results import JobStatus
from tests.programs import without_coverage

Answer = httpx.Response | Exception


class Desk:
    """Plays the server: answers in turn, and remembers the requests."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, url: str = "http://server:5050") -> CyberImageClient:
        return CyberImageClient(url, "secret", transport=httpx.MockTransport(self))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody sleeps; returns what would have been slept."""
    slept: list[float] = []
    monkeypatch.setattr("client.transport.time.sleep", slept.append)
    return slept


def ok(document: Any, **headers: str) -> httpx.Response:
    return httpx.Response(200, json=document, headers=headers)


def error(status: int, message: str = "It is so.", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"status": "error", "message": message}, headers=headers)


ACCEPTED = {"job_id": "j", "status": "pending", "num_images": 1, "message": "fine", "new": "field"}


def job(status: str = "processing", **fields: Any) -> dict[str, Any]:
    return {"id": "j", "status": status, "model_id": "demo", "prompt": "a house", "progress": {status: True}} | fields


def test_generate_sends_what_was_given_and_no_more() -> None:
    harness = Desk(ok(ACCEPTED))
    accepted = harness.client().generate("a house", model="demo", steps=5, seed=0, negative_prompt="")
    assert accepted.job_id == "j"
    (sent,) = harness.requests
    assert sent.url == "http://server:5050/api/generate"
    assert sent.headers["Authorization"] == "Bearer secret"
    assert json.loads(sent.content) == {
        "model_id": "demo",
        "prompt": "a house",
        "negative_prompt": "",
        "settings": {"num_inference_steps": 5, "seed": 0},
    }


def test_without_a_model_the_default_of_the_server_is_used() -> None:
    harness = Desk(ok({"models": {"demo": {"id": "x", "description": "y"}}, "default": "demo"}), ok(ACCEPTED))
    harness.client().generate("a house")
    assert json.loads(harness.requests[1].content)["model_id"] == "demo"


@pytest.mark.parametrize("lost", [httpx.ReadError("broken"), httpx.ConnectError("refused"), error(503), error(502)])
def test_a_submission_is_sent_again_with_the_same_key(lost: Answer) -> None:
    harness = Desk(lost, ok(ACCEPTED), ok(ACCEPTED))
    client = harness.client()
    client.submit({"prompt": "a house"})
    client.submit({"prompt": "a house"})
    keys = [request.headers["Idempotency-Key"] for request in harness.requests]
    assert keys[0] == keys[1] != keys[2]
    assert harness.requests[0].content == harness.requests[1].content


@pytest.mark.parametrize("call", [lambda c: c.delete("img_1"), lambda c: c.reset_queue()])
def test_what_is_not_safe_is_sent_once(call: Callable[[CyberImageClient], object]) -> None:
    harness = Desk(httpx.ReadError("broken"), ok({}))
    with pytest.raises(ServerUnreachable):
        call(harness.client())
    assert len(harness.requests) == 1


def test_reading_gives_up_after_three_tries() -> None:
    harness = Desk(*[httpx.ConnectError("refused")] * 9)
    with pytest.raises(ServerUnreachable, match="http://server:5050 cannot be reached: refused"):
        harness.client().queue()
    assert len(harness.requests) == 3


def test_a_long_retry_after_is_the_callers_to_wait(no_pauses: list[float]) -> None:
    harness = Desk(error(503, "The queue is full.", **{"Retry-After": "60"}))
    with pytest.raises(ServerUnavailable, match="The queue is full") as caught:
        harness.client().submit({})
    assert caught.value.retry_after == 60
    assert no_pauses == []


def test_a_short_retry_after_is_waited_for(no_pauses: list[float]) -> None:
    harness = Desk(error(503, **{"Retry-After": "2"}), ok({"pending": 4}))
    assert harness.client().queue().pending == 4
    assert no_pauses == [2.0]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, RejectedInput), (409, RejectedInput), (404, NotFound), (429, RateLimited), (500, ServerError)],
)
def test_errors_carry_the_sentence_of_the_api(status: int, kind: type[ClientError]) -> None:
    with pytest.raises(kind) as caught:
        Desk(error(status, "It is so.")).client().status("j")
    assert (caught.value.message, caught.value.status) == ("It is so.", status)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>hello</html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"models": 3}),
        httpx.Response(301, headers={"Location": "https://elsewhere/"}),
        httpx.Response(200, content=b"\xff\xfe"),
    ],
)
def test_what_is_no_cyberimage_is_said_to_be_none(answer: httpx.Response) -> None:
    with pytest.raises(UnexpectedAnswer, match="is the address right"):
        Desk(answer).client().models()


def test_a_page_instead_of_a_picture_is_no_picture() -> None:
    with pytest.raises(UnexpectedAnswer, match="PNG"):
        Desk(httpx.Response(200, text="<html>")).client().image("img_1")


@pytest.mark.parametrize("url", ["http://a/", "http://a", "http://a/api", "http://a/api/"])
def test_the_address_may_be_written_in_many_ways(url: str) -> None:
    harness = Desk(ok({}))
    harness.client(url).queue()
    assert harness.requests[0].url == "http://a/api/queue"


@pytest.mark.parametrize("url", ["", "server:5050", "ftp://a", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must begin with http"):
        CyberImageClient(url)


@given(st.text(min_size=1))
def test_an_id_never_leaves_its_place_in_the_path(identifier: str) -> None:
    harness = Desk(error(404))
    try:
        harness.client().status(identifier)
    except (NotFound, RejectedInput):
        pass
    except UnicodeEncodeError:
        assert any("\ud800" <= character <= "\udfff" for character in identifier)
    for request in harness.requests:
        path = request.url.raw_path.decode()
        assert path.startswith("/api/status/")
        assert path.count("/") == 3
        assert "?" not in path


def gallery_page(number: int, names: list[str], *, has_more: bool, **extra: object) -> httpx.Response:
    images = [{"id": name, "model_id": "m", "prompt": "p", "created_at": "t"} for name in names]
    return ok({"images": images, "page": number, "limit": 50, "has_more": has_more, "total": 3, **extra})


def test_all_images_of_the_gallery_are_asked_for_by_cursor() -> None:
    harness = Desk(
        gallery_page(1, ["c", "b"], has_more=True, next_cursor="b"),
        gallery_page(1, ["a"], has_more=False, next_cursor=None),
    )
    assert [image.id for image in harness.client().gallery_images(model="m")] == ["c", "b", "a"]
    assert dict(harness.requests[1].url.params) == {"limit": "50", "model": "m", "cursor": "b"}


def test_without_cursors_all_pages_of_the_gallery_each_image_once() -> None:
    harness = Desk(gallery_page(1, ["c", "b"], has_more=True), gallery_page(2, ["b", "a"], has_more=False))
    assert [image.id for image in harness.client().gallery_images(search="red house")] == ["c", "b", "a"]
    assert dict(harness.requests[1].url.params) == {"page": "2", "limit": "50", "search": "red house"}


def test_waiting_asks_for_news_by_the_version_it_has() -> None:
    harness = Desk(
        ok(job("pending"), ETag='"1"'),
        ok(job("processing"), ETag='"2"'),
        httpx.Response(304),
        ok(job("completed"), ETag='"3"'),
    )
    seen: list[str] = []
    done = harness.client().wait("j", on_progress=lambda found: seen.append(found.status))
    assert done.status == "completed"
    assert seen == ["pending", "processing", "completed"]
    assert [request.headers.get("If-None-Match") for request in harness.requests] == [None, '"1"', '"2"', '"2"']
    assert "wait" not in harness.requests[0].url.params
    assert all(request.url.params["wait"] == "30" for request in harness.requests[1:])


def test_where_wait_is_refused_it_polls(no_pauses: list[float]) -> None:
    harness = Desk(ok(job("pending"), ETag='"1"'), error(400, "'wait' is not known"), ok(job()), ok(job("completed")))
    harness.client().wait("j")
    assert ["wait" in request.url.params for request in harness.requests] == [False, True, False, False]
    assert no_pauses[-1] == job_wait.POLL


@pytest.mark.parametrize(
    "answers", [[ok(job("pending")), ok(job())], [ok(job("pending"), ETag='"1"'), httpx.Response(304)]]
)
def test_a_server_that_ignores_wait_is_not_hammered(answers: list[Answer], no_pauses: list[float]) -> None:
    harness = Desk(*answers, ok(job("completed")))
    harness.client().wait("j")
    assert no_pauses[1] == job_wait.POLL


def test_a_restart_of_the_server_is_waited_for() -> None:
    harness = Desk(ok(job("pending")), *[httpx.ConnectError("refused")] * 7, ok(job("completed")))
    assert harness.client().wait("j").status == "completed"


def test_patience_ends() -> None:
    with pytest.raises(ServerUnreachable):
        Desk(*[httpx.ConnectError("refused")] * 9).client().wait("j", patience=0)


def test_a_failed_job_is_an_error_with_its_reason() -> None:
    harness = Desk(ok(job("failed", error_message="Out of memory", error_type="out_of_memory")))
    with pytest.raises(JobFailed, match="Out of memory") as caught:
        harness.client().wait("j")
    assert caught.value.job.error_type == "out_of_memory"


def test_waiting_ends_with_its_time() -> None:
    with pytest.raises(WaitTimedOut, match="goes on at the server"):
        Desk(ok(job()), ok(job())).client().wait("j", timeout=0)


def test_the_smallest_answer_of_the_contract_is_enough() -> None:
    found = Desk(ok({"id": "j", "status": "pending", "model_id": "m", "prompt": "p"})).client().status("j")
    assert isinstance(found, JobStatus)
    assert found.progress.phase == "preparing"


def test_every_error_is_of_the_family() -> None:
    kinds = [getattr(package, name) for name in package.__all__ if name != "CyberImageClient"]
    assert all(issubclass(kind, ClientError) for kind in kinds)


@pytest.fixture
def fresh_modules() -> Callable[[str], set[str]]:
    def run(code: str) -> set[str]:
        command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, env=without_coverage())
        return set(ran.stdout.split())

    return run


def test_the_client_stands_alone_and_is_light(fresh_modules: Callable[[str], set[str]]) -> None:
    loaded = fresh_modules("import client, client.commands")
    assert not loaded & {"jobs", "outputs", "enrich", "http_api", "runner", "torch", "falcon", "gevent"}
    assert not fresh_modules("import client.arguments as a; a.parser()") & {"rich", "httpx", "msgspec"}
