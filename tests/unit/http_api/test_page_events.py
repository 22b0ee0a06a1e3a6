"""The stream of a page: the whole present state, then every change, and never a growing list."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from falcon.testing import TestClient

from core.locks import ExclusiveLock
from http_api.api import page_events
from http_api.server import places, stopping
from jobs import pause, runner_status
from jobs.claims import Claim
from jobs.ids import timestamp
from jobs.runner_status import RunnerState, RunnerStatus, WorkerStatus
from jobs.schema import Job, Phase, Progress, State
from outputs.sidecar import Sidecar
from service.page_watch import Event, PageSubscription, PageWatcher
from service.queue import End, move
from service.services import Services
from service.snapshot_reader import SnapshotReader
from tests.programs import wait_until

Submit = Callable[..., str]
Begin = Callable[[str], Claim]
Draw = Callable[..., Sidecar]
Seen = list[tuple[str, dict[str, Any]]]


class Page:
    """What one page was told."""

    def __init__(self, subscription: PageSubscription) -> None:
        self._subscription = subscription
        self.seen: Seen = []

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind, so far."""
        self.seen += [parsed(event.content) for event in self._subscription.wait(0.02)]
        return [data for name, data in self.seen if name == kind]

    def wait_for(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The first event of a kind that has these fields."""

        def found() -> dict[str, Any] | None:
            return next((data for data in self.of(kind) if fields.items() <= data.items()), None)

        event = wait_until(found, about=f"{kind} {fields}")
        assert event is not None
        return event


def parsed(content: bytes) -> tuple[str, dict[str, Any]]:
    first, second = content.decode().strip().split("\n")
    return first.removeprefix("event: "), json.loads(second.removeprefix("data: "))


@pytest.fixture
def watcher(services: Services) -> Iterator[PageWatcher]:
    is_over = threading.Event()
    yield PageWatcher(services, SnapshotReader(services), page_events.render, is_over.is_set)
    is_over.set()


@pytest.fixture
def page(watcher: PageWatcher) -> Iterator[Page]:
    with watcher.watch() as subscription:
        yield Page(subscription)


@contextmanager
def living_runner(services: Services, state: RunnerState, message: str | None = None) -> Iterator[None]:
    """A runner with one worker, which says this."""
    now = timestamp()
    worker = WorkerStatus(slot="cpu", state=state, message=message)
    status = RunnerStatus(pid=1, state=state, message=message, workers=[worker], started_at=now, updated_at=now)
    runner_status.write(services.layout, status, "cpu")
    lock = ExclusiveLock(services.layout.runner_lock("cpu"))
    assert lock.acquire()
    try:
        yield
    finally:
        lock.release()


def test_whoever_comes_is_told_the_whole_state(
    watcher: PageWatcher, client: TestClient, submit: Submit, begin: Begin
) -> None:
    done, runs, waits = submit(), submit(), submit()
    begin(done).complete()
    held = begin(runs)
    with watcher.watch() as first, watcher.watch() as second:
        told = [[parsed(event.content) for event in subscription.wait(5)] for subscription in (first, second)]
    assert told[0] == told[1]
    state = {name: data for name, data in told[0] if name != "job"}
    assert state["queue"] == client.simulate_get("/api/queue").json
    assert state["jobs"] == {"order": [runs, waits], "more": 0}
    assert state["runner"]["state"] == "none"
    jobs = {data["id"]: data for name, data in told[0] if name == "job"}
    assert jobs == {job_id: client.simulate_get(f"/api/status/{job_id}").json for job_id in (runs, waits)}
    held.abandon()


def test_a_page_follows_a_job_to_its_end(page: Page, submit: Submit, begin: Begin, draw: Draw) -> None:
    job_id = submit("a castle")
    page.wait_for("job", id=job_id, status="pending", queue_position=0)
    assert page.wait_for("jobs", order=[job_id])["more"] == 0
    held = begin(job_id)
    progress = Progress(phase=Phase.GENERATING, attempt=1, step=2, total_steps=4, updated_at=timestamp())
    held.report(progress)
    page.wait_for("job", id=job_id, message="Generating image 1 of 1... Step 2/4")
    held.show(b"webp")
    wait_until(lambda: any(job["preview_url"] for job in page.of("job")), about="the preview")
    image = draw(held.job)
    assert page.wait_for("image", id=image.id)["prompt"] == "a castle"
    held.complete()
    assert page.wait_for("job", id=job_id, status="completed")["images"][0]["id"] == image.id
    page.wait_for("queue", completed=1, processing=0)
    page.wait_for("jobs", order=[])


def test_a_job_that_comes_and_ends_between_two_looks_is_told_of(page: Page, submit: Submit, begin: Begin) -> None:
    jobs = [submit() for _ in range(3)]
    for job_id in jobs:
        begin(job_id).complete()
    for job_id in jobs:
        page.wait_for("job", id=job_id, status="completed")


def test_what_people_say_and_delete_is_told(
    page: Page, client: TestClient, submit: Submit, begin: Begin, draw: Draw
) -> None:
    image = draw(begin(submit()).job)
    page.wait_for("image", id=image.id, favourite=False)
    client.simulate_put(f"/api/image/{image.id}/favourite")
    page.wait_for("image", id=image.id, favourite=True)
    client.simulate_put(f"/api/image/{image.id}/labels", json={"labels": ["best"]})
    page.wait_for("image", id=image.id, labels=["best"])
    client.simulate_delete(f"/api/image/{image.id}")
    page.wait_for("image_removed", id=image.id)


def test_the_order_and_the_pause_are_told(page: Page, services: Services, submit: Submit) -> None:
    first, second = submit(), submit()
    page.wait_for("jobs", order=[first, second])
    move(services, second, End.FRONT)
    page.wait_for("jobs", order=[second, first])
    page.wait_for("job", id=first, queue_position=1)
    pause.pause(services.spool)
    page.wait_for("queue", paused=True)
    page.wait_for("job", id=first, message="Waiting: the queue is paused")
    pause.resume(services.spool)
    wait_until(lambda: page.of("queue")[-1]["paused"] is False, about="the end of the pause")


def test_what_the_runner_does_is_told_and_its_death(page: Page, services: Services) -> None:
    page.wait_for("runner", state="none", devices=[])
    with living_runner(services, RunnerState.BUSY):
        told = page.wait_for("runner", state="drawing", message="Drawing.")
        assert [(found["device"], found["state"]) for found in told["devices"]] == [("cpu", "drawing")]
        with living_runner_says(services, RunnerState.PAUSED, "The disk is nearly full."):
            page.wait_for("runner", state="paused", message="The disk is nearly full.")
    wait_until(lambda: page.of("runner")[-1]["state"] == "none", about="the death of the runner")


@contextmanager
def living_runner_says(services: Services, state: RunnerState, message: str) -> Iterator[None]:
    now = timestamp()
    worker = WorkerStatus(slot="cpu", state=state, message=message)
    status = RunnerStatus(pid=1, state=state, message=message, workers=[worker], started_at=now, updated_at=now)
    runner_status.write(services.layout, status, "cpu")
    yield


def test_a_runner_that_has_said_nothing_is_starting(page: Page, services: Services) -> None:
    lock = ExclusiveLock(services.layout.runner_lock("cuda:0"))
    assert lock.acquire()
    assert page.wait_for("runner", state="starting")["devices"][0]["device"] == "cuda:0"
    lock.release()


def test_jobs_far_back_are_listed_up_to_a_number(
    page: Page, services: Services, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.active_jobs.MOST_LISTED", 3)
    jobs = [submit() for _ in range(5)]
    page.wait_for("jobs", order=jobs[:3], more=2)


def test_a_page_that_takes_nothing_keeps_the_latest_of_each_thing_and_not_more() -> None:
    subscription = PageSubscription()
    for number in range(10):
        subscription.publish([Event("queue", b"%d" % number), Event(f"job {number % 2}", b"%d" % number)])
    assert subscription.wait(1) == [Event("job 0", b"8"), Event("queue", b"9"), Event("job 1", b"9")]
    assert not subscription.is_over
    for number in range(3000):
        subscription.publish([Event(f"image {number}", b"")])
    assert subscription.is_over


def test_an_index_that_is_built_anew_lets_pages_begin_again(page: Page, services: Services, submit: Submit) -> None:
    page.wait_for("queue")
    services.images.rebuild()
    wait_until(lambda: page._subscription.is_over, about="the stream to end")


def test_more_changes_than_are_kept_let_pages_begin_again(
    page: Page, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.wait_for("queue")
    with services.images.file.write() as database:
        for _ in range(1100):
            database.execute("INSERT INTO change (sign, text, id) VALUES (0, '', 'img_x')")
    wait_until(lambda: page._subscription.is_over, about="the stream to end")


def test_while_the_index_is_missing_the_stream_goes_on(page: Page, services: Services, submit: Submit) -> None:
    page.wait_for("queue", pending=0)
    for path in services.layout.spool.glob("index.*"):
        path.unlink()
    job_id = submit()
    services.jobs.repair()
    page.wait_for("job", id=job_id, status="pending")


def test_the_poller_rests_while_nobody_watches(watcher: PageWatcher) -> None:
    with watcher.watch():
        assert watcher._poller is not None
    wait_until(lambda: watcher._poller is None, about="the poller to end")
    with watcher.watch() as subscription:
        assert {event.key for event in subscription.wait(5)} == {"queue", "runner", "jobs"}


def test_looks_read_no_job_that_has_not_changed(
    watcher: PageWatcher, services: Services, submit: Submit, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        begin(submit()).complete()
    for _ in range(8):
        submit()
    read: list[str] = []
    find = services.spool.find

    def counted(job_id: str) -> tuple[State, Job]:
        read.append(job_id)
        return find(job_id)

    watcher._active.look()
    monkeypatch.setattr(services.spool, "find", counted)
    for _ in range(4):
        watcher._active._read_at = time.monotonic()
        watcher._active.look()
    assert len(read) <= 2 * 5  # those next in turn, while the queue is not known to be at rest


# --- Over HTTP ------------------------------------------------------------------------------------


def test_the_stream_is_served_and_ends_with_the_server(
    client: TestClient, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit()
    answers: list[Any] = []
    reader = threading.Thread(target=lambda: answers.append(client.simulate_get("/api/events")))
    reader.start()
    wait_until(lambda: places.STREAMS.taken, about="the stream to begin")
    time.sleep(0)
    monkeypatch.setattr(stopping, "_stopping", True)
    reader.join(30)
    assert answers[0].headers["content-type"] == "text/event-stream"
    blocks = answers[0].text.split("\n\n")
    assert blocks[0] == "retry: 2000"
    kinds = [block.partition("\n")[0] for block in blocks[1:] if block.startswith("event")]
    assert set(kinds) == {"event: queue", "event: runner", "event: jobs", "event: job"}
    assert job_id in answers[0].text
    assert places.STREAMS.taken == 0


def test_one_too_many_is_told_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "STREAMS", places.Places(lambda: 0))
    answer = client.simulate_get("/api/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_preview_addresses_lie_below_the_prefix_of_a_proxy() -> None:
    subscription = PageSubscription()
    subscription.publish([Event("job a", b'event: job\ndata: {"preview_url":"/api/jobs/a/preview?version=1"}\n\n')])
    events = page_events._events(subscription, "/ai")
    assert next(events) == b"retry: 2000\n\n"
    assert b'"preview_url":"/ai/api/jobs/a/preview' in next(events)
