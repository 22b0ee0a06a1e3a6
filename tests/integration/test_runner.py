"""The runner as a program: real processes, real pipelines (tiny ones), files in and files out."""

from __future__ import annotations

import os
import signal

from PIL import Image

from jobs.schema import State
from outputs import png
from tests.programs import PATIENCE, wait_until
from tests.runner_desk import RunnerDesk, is_running


def test_two_jobs_become_pictures_with_one_load_and_the_worker_leaves_when_idle(desk: RunnerDesk) -> None:
    first = desk.submit("a castle", num_images=2, seed=7)
    second = desk.submit("a ship", seed=8)
    with desk.runner(idle_seconds=0.5) as runner:
        done = desk.wait_for(first)
        assert done.error is None
        assert desk.wait_for(second).error is None
        left = desk.wait_for_status(lambda status: status.worker_pid is None, "the worker to leave")
        assert runner.output().count("A model is loaded.") == 1
    images = list(desk.store.images_of(done))
    assert [image.seed for image in images] == [7, 8]
    for image in images:
        path = desk.store.path(image.id)
        with Image.open(path) as picture:
            assert picture.size == (32, 32)
        with path.open("rb") as stream:
            texts = png.read_texts(stream)
        assert texts.parameters is not None
        assert texts.parameters.startswith("a castle\n")
        assert f"Seed: {image.seed}" in texts.parameters
        assert texts.record is not None
        assert texts.record["job_id"] == first.id
    assert (done.attempts, left.loaded_models, left.device) == (1, [], "cpu")


def test_kills_of_worker_and_supervisor_lose_nothing(desk: RunnerDesk) -> None:
    """One job of two images: its worker is killed in the first, its supervisor in the second; then it is done."""
    job = desk.submit("a castle", num_images=2, num_inference_steps=200, seed=5)
    with desk.runner() as first:
        desk.wait_for_steps(job)
        killed = desk.kill_worker()
        wait_until(lambda: desk.stored(job).attempts == 2, PATIENCE, "the second attempt")
        assert not is_running(killed)
        (kept,) = wait_until(lambda: list(desk.store.images_of(job)), PATIENCE, "the first image")
        worker = desk.worker_pid()
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: not is_running(worker), PATIENCE, "the worker to end with its supervisor")
    assert (desk.state(job), desk.stored(job).attempts) == (State.PENDING, 1)
    with desk.runner():
        done = desk.wait_for(job)
    assert (done.outcome, done.attempts) == ("completed", 2)
    images = list(desk.store.images_of(job))
    assert (images[0], len(images)) == (kept, 2)
