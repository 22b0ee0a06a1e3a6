"""`/status` in every state of a job's life."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from falcon.testing import TestClient

from core.locks import ExclusiveLock
from jobs import pause, runner_status
from jobs.claims import Claim
from jobs.ids import timestamp
from jobs.runner_status import RunnerState, RunnerStatus
from jobs.schema import JobError, Phase, Progress, State
from outputs.sidecar import Sidecar
from service.services import Services

Submit = Callable[..., str]
Begin = Callable[[str], Claim]
Draw = Callable[..., Sidecar]

KEYS_OF_THE_SPEC = {
    "id", "status", "model_id", "prompt", "negative_prompt", "settings", "created_at", "started_at", "completed_at",
    "message", "progress", "images",
}  # fmt: skip
EXTRA_KEYS = {"effective_settings", "queue_position", "eta_seconds", "attempts", "error_message", "error_type"}
FLAGS = ("preparing", "loading_model", "generating", "saving", "completed", "failed")


def status(client: TestClient, job_id: str) -> dict[str, Any]:
    answer = client.simulate_get(f"/api/status/{job_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    assert found.keys() >= KEYS_OF_THE_SPEC | EXTRA_KEYS
    assert sum(found["progress"][flag] for flag in FLAGS) == 1
    return found


def progress(phase: Phase, step: int = 0, image: int = 1, attempt: int = 1, seconds: float | None = None) -> Progress:
    return Progress(
        phase=phase,
        attempt=attempt,
        image_number=image,
        step=step,
        total_steps=4,
        step_seconds=seconds,
        updated_at=timestamp(),
    )


def test_a_pending_job_tells_its_place(client: TestClient, submit: Submit) -> None:
    ids = [submit(str(number)) for number in range(3)]
    looks = [status(client, job_id) for job_id in ids]
    assert [look["queue_position"] for look in looks] == [0, 1, 2]
    assert [look["status"] for look in looks] == ["pending"] * 3
    assert looks[0]["message"] == "Next in the queue"
    assert looks[2]["message"] == "Waiting in the queue behind 2 job(s)"
    assert looks[0]["images"] == []


def test_settings_are_shown_as_sent_and_as_used(client: TestClient, submit: Submit) -> None:
    look = status(client, submit(num_inference_steps=7, seed=5))
    assert look["settings"] == {"num_inference_steps": 7, "seed": 5}
    effective = look["effective_settings"]
    assert (effective["num_inference_steps"], effective["seed"], effective["width"]) == (7, 5, 64)


@pytest.mark.parametrize(
    ("phase", "flag", "message"),
    [
        (Phase.PREPARING, "preparing", "Preparing"),
        (Phase.LOADING_MODEL, "loading_model", "Loading the model tiny..."),
        (Phase.WARMING_UP, "loading_model", "Warming up tiny: it is compiled before its first picture..."),
        (Phase.GENERATING, "generating", "Generating image 2 of 2... Step 3/4"),
        (Phase.SAVING, "saving", "Saving image 2 of 2..."),
    ],
)
def test_each_phase_has_its_flag_and_words(
    client: TestClient, submit: Submit, begin: Begin, phase: Phase, flag: str, message: str
) -> None:
    held = begin(submit(num_images=2))
    held.report(progress(phase, step=3, image=2))
    look = status(client, held.job.id)
    assert (look["status"], look["message"]) == ("processing", message)
    assert look["progress"][flag] is True
    assert (look["progress"]["step"], look["progress"]["total_steps"]) == (3, 4)
    assert look["started_at"]
    held.abandon()


def test_progress_of_an_earlier_attempt_is_not_shown(client: TestClient, submit: Submit, begin: Begin) -> None:
    held = begin(submit())
    held.report(progress(Phase.GENERATING, step=3, attempt=7))
    assert status(client, held.job.id)["message"] == "Preparing"
    held.abandon()


def test_unreadable_progress_reads_as_none(
    client: TestClient, submit: Submit, begin: Begin, services: Services
) -> None:
    held = begin(submit())
    (services.spool.layout.spool / "progress" / f"{held.job.id}.json").write_bytes(b'{"phase": "gen')
    assert status(client, held.job.id)["message"] == "Preparing"
    held.abandon()


def test_a_job_whose_runner_is_gone_says_so(client: TestClient, submit: Submit, begin: Begin) -> None:
    held = begin(submit())
    held.report(progress(Phase.GENERATING, step=2))
    held.abandon()
    look = status(client, held.job.id)
    assert (look["status"], look["message"]) == ("processing", "Stalled: its runner is gone")
    assert look["eta_seconds"] is None


def test_images_are_listed_as_soon_as_they_are_committed(
    client: TestClient, submit: Submit, begin: Begin, draw: Draw
) -> None:
    held = begin(submit(num_images=2, seed=10))
    draw(held.job, 1)
    assert [image["metadata"]["image_number"] for image in status(client, held.job.id)["images"]] == [1]
    draw(held.job, 2)
    held.complete()
    look = status(client, held.job.id)
    assert [image["metadata"]["seed"] for image in look["images"]] == [10, 11]
    assert look["images"][0]["file_path"].endswith(f"/{look['images'][0]['id']}.png")
    assert look["message"] == "Generated 2 image(s)"
    assert look["progress"]["completed"] is True
    assert look["progress"]["step"] == look["progress"]["total_steps"] == 4
    assert look["duration_seconds"] is not None


def test_an_image_stays_listed_while_its_interrupted_job_waits(
    client: TestClient, submit: Submit, begin: Begin, draw: Draw
) -> None:
    held = begin(submit(num_images=3))
    image = draw(held.job, 1).id
    held.requeue(refund_attempt=True)
    look = status(client, held.job.id)
    assert (look["status"], look["attempts"]) == ("pending", 0)
    assert [shown["id"] for shown in look["images"]] == [image]


def test_a_job_that_never_started_is_looked_at_without_looking_for_images(
    client: TestClient, submit: Submit, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(num_images=3)
    monkeypatch.setattr(services.store, "sidecar", lambda image_id: pytest.fail(f"looked for {image_id}"))
    assert status(client, job_id)["images"] == []


def test_a_failed_job_gives_the_reason_twice(client: TestClient, submit: Submit, begin: Begin) -> None:
    held = begin(submit())
    held.fail(JobError(type="out_of_memory", message="Out of memory at 64x64"))
    look = status(client, held.job.id)
    assert look["status"] == "failed"
    assert look["message"] == look["error_message"] == "Out of memory at 64x64"
    assert look["error_type"] == "out_of_memory"


def test_a_cancelled_job_reads_failed(client: TestClient, submit: Submit, services: Services) -> None:
    job_id = submit()
    services.spool.cancel(job_id)
    look = status(client, job_id)
    assert (look["status"], look["error_type"]) == ("failed", "cancelled")


def test_a_crashed_attempt_is_told_while_the_next_waits(client: TestClient, submit: Submit, begin: Begin) -> None:
    held = begin(submit())
    held.requeue(error=JobError(type="crash", message="The worker died (signal 9)."))
    look = status(client, held.job.id)
    assert look["message"] == "Waiting for attempt 2: The worker died (signal 9)."
    assert look["attempts"] == 1


def test_a_damaged_sidecar_is_a_warning_not_a_failure(
    client: TestClient, submit: Submit, begin: Begin, draw: Draw, services: Services
) -> None:
    held = begin(submit(num_images=2))
    sidecar = draw(held.job, 1)
    draw(held.job, 2)
    services.store.sidecar_path(sidecar.id).write_bytes(b"{")
    held.complete()
    look = status(client, held.job.id)
    assert len(look["images"]) == 1
    assert sidecar.id in look["warnings"][0]


def test_eta_of_a_running_job_counts_the_steps_that_are_left(client: TestClient, submit: Submit, begin: Begin) -> None:
    held = begin(submit(num_images=2))
    held.report(progress(Phase.GENERATING, step=3, image=1, seconds=2.0))
    assert status(client, held.job.id)["eta_seconds"] == 2.0 * (1 + 4)
    held.abandon()


def test_eta_of_a_waiting_job_comes_from_the_runners_step_times(
    client: TestClient, submit: Submit, services: Services
) -> None:
    now = timestamp()
    runner = RunnerStatus(
        pid=os.getpid(), state=RunnerState.IDLE, step_seconds={"tiny": 0.5}, started_at=now, updated_at=now
    )
    runner_status.write(services.layout, runner, "cpu")
    submit()
    alive = ExclusiveLock(services.layout.runner_lock("cpu"))
    assert alive.acquire()
    assert status(client, submit())["eta_seconds"] == 0.5 * 4 * 2
    alive.release()


def test_nothing_is_estimated_while_nobody_draws(client: TestClient, submit: Submit, services: Services) -> None:
    now = timestamp()
    runner = RunnerStatus(
        pid=os.getpid(), state=RunnerState.IDLE, step_seconds={"tiny": 0.5}, started_at=now, updated_at=now
    )
    runner_status.write(services.layout, runner, "cpu")
    job_id = submit()
    assert status(client, job_id)["eta_seconds"] is None
    alive = ExclusiveLock(services.layout.runner_lock("cpu"))
    assert alive.acquire()
    pause.pause(services.spool)
    found = status(client, job_id)
    alive.release()
    assert (found["eta_seconds"], found["message"]) == (None, "Waiting: the queue is paused")


def test_eta_takes_the_step_time_of_the_runner_that_has_the_job(
    client: TestClient, submit: Submit, begin: Begin, services: Services
) -> None:
    held = begin(submit())
    now = timestamp()
    for device, job_id, seconds in (("cpu", "another", 9.0), ("cuda:0", held.job.id, 0.5)):
        runner = RunnerStatus(
            pid=1,
            state=RunnerState.BUSY,
            job_id=job_id,
            step_seconds={"tiny": seconds},
            started_at=now,
            updated_at=now,
        )
        runner_status.write(services.layout, runner, device)
    assert status(client, held.job.id)["eta_seconds"] == 0.5 * 4
    held.abandon()


def test_nothing_known_gives_no_estimate(client: TestClient, submit: Submit) -> None:
    assert status(client, submit())["eta_seconds"] is None


def test_status_works_without_the_index(client: TestClient, submit: Submit, services: Services) -> None:
    job_id = submit()
    for path in services.spool.layout.spool.glob("index.*"):
        path.unlink()
    look = status(client, job_id)
    assert (look["status"], look["queue_position"], look["message"]) == ("pending", None, "Waiting in the queue")


def test_a_corrupt_job_file_is_named(client: TestClient, submit: Submit, services: Services) -> None:
    job_id = submit()
    (services.spool.layout.spool / "pending" / f"{job_id}.json").write_bytes(b"[]")
    answer = client.simulate_get(f"/api/status/{job_id}")
    assert answer.status_code == 500
    assert answer.json["error_type"] == "damaged"
    assert job_id in answer.json["message"]


def test_a_job_of_a_newer_version_is_not_called_damaged(client: TestClient, submit: Submit, services: Services) -> None:
    job_id = submit()
    path = services.spool.path(State.PENDING, job_id)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"schema": 2, "prompt": {"text": "a castle"}}))
    for method, url in (
        ("GET", f"/api/status/{job_id}"),
        ("GET", f"/api/jobs/{job_id}/events"),
        ("GET", f"/api/jobs/{job_id}/preview"),
        ("POST", f"/api/jobs/{job_id}/cancel"),
        ("POST", f"/api/jobs/{job_id}/retry"),
    ):
        answer = client.simulate_request(method, url)
        assert (answer.status_code, answer.json["error_type"]) == (409, "newer_version")
        assert "was written by a newer version of CyberImage" in answer.json["message"]
    assert client.simulate_get("/api/queue").json["pending"] == 1
    assert client.simulate_get("/api/jobs").json["jobs"] == []


@pytest.mark.parametrize("job_id", ["nix", "..", "%2e%2e", "a%00b", "a%0a", "%ff", "a%20b", "%C3%A9", "x" * 65, "-"])
def test_unknown_and_impossible_ids_are_not_found(client: TestClient, job_id: str) -> None:
    answer = client.simulate_get(f"/api/status/{job_id}")
    assert answer.status_code == 404
    assert answer.json["status"] == "error"


def test_a_job_that_ends_between_two_looks_is_not_called_stalled(
    client: TestClient, submit: Submit, begin: Begin, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = begin(submit())
    real, calls = services.spool.is_stalled, []

    def finish_meanwhile(asked: str) -> bool:
        calls.append(asked)
        if len(calls) == 1:
            held.complete()
        return real(asked)

    monkeypatch.setattr(services.spool, "is_stalled", finish_meanwhile)
    assert status(client, held.job.id)["status"] == "completed"
    assert calls == [held.job.id]
