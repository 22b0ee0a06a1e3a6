"""Listing, cancelling and repeating jobs, previews, event streams and the long poll."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from falcon.testing import Result, TestClient

from core.settings import RateLimit
from http_api.app import create_app
from http_api.server import stopping
from jobs.claims import Claim
from jobs.ids import timestamp
from jobs.schema import JobError, Phase, Progress, State
from service.rate_limit import RateLimiter
from service.services import Services
from tests.programs import wait_until

Submit = Callable[..., str]
Begin = Callable[[str], Claim]


def listed(client: TestClient, **params: Any) -> list[str]:
    answer = client.simulate_get("/api/jobs", params=params)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json["jobs"]]


def test_jobs_are_listed_newest_first_by_status_and_model(
    client: TestClient, submit: Submit, begin: Begin, services: Services
) -> None:
    done, failed, cancelled, waiting = (submit() for _ in range(4))
    begin(done).complete()
    begin(failed).fail(JobError(type="x", message="y"))
    services.spool.cancel(cancelled)
    assert listed(client) == [waiting, cancelled, failed, done]
    assert listed(client, status="failed") == [cancelled, failed]
    assert listed(client, status="cancelled") == [cancelled]
    assert listed(client, status="completed", model="tiny") == [done]
    assert listed(client, model="far") == []


def test_the_cursor_leads_through_all_jobs(client: TestClient, submit: Submit) -> None:
    ids = [submit() for _ in range(5)]
    found, cursor = [], None
    while True:
        answer = client.simulate_get("/api/jobs", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json
        found += [job["id"] for job in answer["jobs"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert found == ids[::-1]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "status=done", "cursor=x", "cursor=zz.a", "state=failed"])
def test_bad_list_parameters_are_named(client: TestClient, query: str) -> None:
    assert client.simulate_get("/api/jobs", query_string=query).status_code == 400


def test_a_waiting_job_is_cancelled_at_once_and_again(client: TestClient, submit: Submit, services: Services) -> None:
    job_id, other = submit(), submit()
    for _ in range(2):
        answer = client.simulate_post(f"/api/jobs/{job_id}/cancel")
        assert answer.status_code == 200
        assert answer.json["cancelled"] is True
    assert client.simulate_get(f"/api/status/{job_id}").json["error_type"] == "cancelled"
    assert services.spool.find(other)[0] is State.PENDING


def test_a_running_job_is_asked_to_stop(client: TestClient, submit: Submit, begin: Begin) -> None:
    held = begin(submit())
    answer = client.simulate_post(f"/api/jobs/{held.job.id}/cancel")
    assert (answer.status_code, answer.json["cancelled"]) == (200, False)
    assert held.cancel_requested()
    held.cancel()
    assert client.simulate_post(f"/api/jobs/{held.job.id}/cancel").json["cancelled"] is True


def test_a_finished_job_cannot_be_cancelled(client: TestClient, submit: Submit, begin: Begin) -> None:
    job_id = submit()
    begin(job_id).complete()
    assert client.simulate_post(f"/api/jobs/{job_id}/cancel").status_code == 409
    assert client.simulate_get(f"/api/status/{job_id}").json["status"] == "completed"


def test_a_retry_is_a_new_job_with_the_same_request_and_seed(client: TestClient, submit: Submit, begin: Begin) -> None:
    job_id = submit("a mill", num_images=2)
    begin(job_id).fail(JobError(type="x", message="y"))
    answer = client.simulate_post(f"/api/jobs/{job_id}/retry")
    assert answer.status_code == 200
    old = client.simulate_get(f"/api/status/{job_id}").json
    new = client.simulate_get(f"/api/status/{answer.json['job_id']}").json
    assert new["id"] != old["id"]
    assert (new["retry_of"], new["status"], old["status"]) == (job_id, "pending", "failed")
    assert (new["prompt"], new["effective_settings"]) == (old["prompt"], old["effective_settings"])


def test_a_retry_is_charged_and_only_for_ended_jobs(
    client: TestClient, submit: Submit, begin: Begin, services: Services
) -> None:
    job_id = submit()
    assert client.simulate_post(f"/api/jobs/{job_id}/retry").status_code == 409
    begin(job_id).complete()
    limited = TestClient(create_app(with_limit(services, 1)))
    answers = [limited.simulate_post(f"/api/jobs/{job_id}/retry").status_code for _ in range(2)]
    assert answers == [200, 429]


def with_limit(services: Services, amount: int) -> Services:
    from dataclasses import replace

    limit = RateLimit(amount=amount, seconds=3600)
    return replace(services, limiter=RateLimiter(services.spool.layout.rate_limits, limit))


@pytest.mark.parametrize("action", ["cancel", "retry"])
@pytest.mark.parametrize("job_id", ["nix", "..", "%2e%2e", "a%00b"])
def test_what_is_not_there_cannot_be_changed(client: TestClient, action: str, job_id: str) -> None:
    assert client.simulate_post(f"/api/jobs/{job_id}/{action}").status_code == 404


def test_a_preview_is_shown_while_there_is_one(
    client: TestClient, submit: Submit, begin: Begin, services: Services
) -> None:
    held = begin(submit())
    address = f"/api/jobs/{held.job.id}/preview"
    assert client.simulate_get(address).status_code == 404
    services.spool.write_preview(held.job.id, b"RIFF")
    answer = client.simulate_get(address)
    assert (answer.content, answer.headers["content-type"]) == (b"RIFF", "image/webp")
    assert client.simulate_get(address, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    held.complete()
    assert client.simulate_get(address).status_code == 404
    assert client.simulate_get("/api/jobs/nix/preview").status_code == 404


def test_the_status_names_the_latest_preview(
    client: TestClient, submit: Submit, begin: Begin, services: Services
) -> None:
    held = begin(submit())

    def shown() -> str | None:
        url: str | None = client.simulate_get(f"/api/status/{held.job.id}").json["preview_url"]
        return url

    assert shown() is None
    services.spool.write_preview(held.job.id, b"RIFF")
    first = shown()
    assert first is not None
    path, _, version = first.partition("?")
    assert client.simulate_get(path, query_string=version).content == b"RIFF"
    services.spool.write_preview(held.job.id, b"RIFF more")
    assert shown() not in (None, first)
    held.complete()
    assert shown() is None


def test_a_job_that_goes_back_shows_no_old_preview(submit: Submit, begin: Begin, services: Services) -> None:
    held = begin(submit())
    services.spool.write_preview(held.job.id, b"RIFF")
    held.requeue()
    assert services.spool.preview(held.job.id) is None


# --- Events and the long poll -----------------------------------------------------------------------


def events(answer: Result) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(event, id, data) of each event of a stream."""
    for block in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            yield fields["event"], fields.get("id", ""), json.loads(fields["data"])


def test_the_stream_of_an_ended_job_says_so_and_ends(client: TestClient, submit: Submit, begin: Begin) -> None:
    job_id = submit()
    begin(job_id).complete()
    answer = client.simulate_get(f"/api/jobs/{job_id}/events")
    assert answer.headers["content-type"] == "text/event-stream"
    (kind, number, data), (last, _, _) = events(answer)
    assert (kind, last) == ("status", "end")
    assert data == client.simulate_get(f"/api/status/{job_id}").json
    again = client.simulate_get(f"/api/jobs/{job_id}/events", headers={"Last-Event-ID": number})
    assert (again.status_code, again.text) == (204, "")


def test_a_stream_follows_the_job_to_its_end(client: TestClient, submit: Submit, begin: Begin) -> None:
    job_id = submit()
    held = begin(job_id)
    answers: list[Result] = []
    reader = threading.Thread(target=lambda: answers.append(client.simulate_get(f"/api/jobs/{job_id}/events")))
    reader.start()
    held.report(
        Progress(phase=Phase.GENERATING, attempt=1, image_number=1, step=2, total_steps=4, updated_at=timestamp())
    )
    wait_until(lambda: "2/4" in client.simulate_get(f"/api/status/{job_id}").json["message"])
    held.complete()
    reader.join(30)
    seen = [data["status"] for kind, _, data in events(answers[0]) if kind == "status"]
    assert seen[-1] == "completed"
    assert set(seen) <= {"pending", "processing", "completed"}


def test_no_stream_for_what_is_not_there(client: TestClient) -> None:
    assert client.simulate_get("/api/jobs/nix/events").status_code == 404


def test_a_stopping_server_ends_its_streams(
    client: TestClient, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit()
    answers: list[Result] = []
    reader = threading.Thread(target=lambda: answers.append(client.simulate_get(f"/api/jobs/{job_id}/events")))
    reader.start()
    monkeypatch.setattr(stopping, "_stopping", True)
    reader.join(30)
    assert [kind for kind, _, _ in events(answers[0])] == ["status"]


def test_the_long_poll_answers_when_the_job_has_ended(client: TestClient, submit: Submit, begin: Begin) -> None:
    held = begin(submit())
    answers: list[Result] = []
    address = f"/api/status/{held.job.id}"
    reader = threading.Thread(target=lambda: answers.append(client.simulate_get(address, params={"wait": 60})))
    reader.start()
    held.complete()
    reader.join(30)
    assert answers[0].json["status"] == "completed"


def test_the_long_poll_with_an_etag_answers_at_any_change(client: TestClient, submit: Submit, begin: Begin) -> None:
    job_id = submit()
    address = f"/api/status/{job_id}"
    known = {"If-None-Match": client.simulate_get(address).headers["etag"]}
    assert client.simulate_get(address, headers=known).status_code == 304
    assert client.simulate_get(address, headers=known, params={"wait": 1}).status_code == 304
    held = begin(job_id)
    answer = client.simulate_get(address, headers=known, params={"wait": 60})
    assert (answer.status_code, answer.json["status"]) == (200, "processing")
    held.abandon()


@pytest.mark.parametrize("wait", ["-1", "61", "x", "1.5"])
def test_a_bad_wait_is_named(client: TestClient, submit: Submit, wait: str) -> None:
    assert client.simulate_get(f"/api/status/{submit()}", params={"wait": wait}).status_code == 400
