"""The runner as a program: real processes, real pipelines (tiny ones), files in and files out."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from falcon.testing import DEFAULT_HOST, TestClient
from PIL import Image

from core.settings import Settings
from http_api.app import create_app
from jobs.schema import State
from outputs import png
from runner.__main__ import EX_CONFIG
from service.services import build_services
from tests.programs import PATIENCE, wait_until
from tests.runner_harness import RunnerHarness, is_running


def test_two_jobs_become_pictures_with_one_load_and_the_worker_leaves_when_idle(harness: RunnerHarness) -> None:
    first = harness.submit("a castle", num_images=2, seed=7)
    second = harness.submit("a ship", seed=8)
    with harness.runner(idle_seconds=0.5) as runner:
        done = harness.wait_for(first)
        assert done.error is None
        assert harness.wait_for(second).error is None
        left = harness.wait_for_status(lambda status: status.worker_pid is None, "the worker to leave")
        assert runner.output().count("A model is loaded.") == 1
    images = list(harness.images_of(done))
    assert [image.seed for image in images] == [7, 8]
    for image in images:
        path = harness.store.path(image.id)
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


def test_kills_of_worker_and_supervisor_lose_nothing(harness: RunnerHarness) -> None:
    """One job of two images: its worker is killed in the first, its supervisor in the second; then it is done."""
    job = harness.submit("a castle", num_images=2, num_inference_steps=200, seed=5)
    with harness.runner() as first:
        harness.wait_for_steps(job)
        killed = harness.kill_worker()
        wait_until(lambda: harness.stored(job).attempts == 2, PATIENCE, "the second attempt")
        assert not is_running(killed)
        (kept,) = wait_until(lambda: list(harness.images_of(job)), PATIENCE, "the first image")
        worker = harness.worker_pid()
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: not is_running(worker), PATIENCE, "the worker to end with its supervisor")
    assert (harness.state(job), harness.stored(job).attempts) == (State.PENDING, 1)
    with harness.runner():
        done = harness.wait_for(job)
    assert (done.outcome, done.attempts) == ("completed", 2)
    images = list(harness.images_of(job))
    assert (images[0], len(images)) == (kept, 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_a_device_that_is_not_there_ends_the_runner_with_a_sentence(harness: RunnerHarness, device: str) -> None:
    job = harness.submit()
    with harness.runner(device=device) as runner:
        assert runner.process is not None
        assert runner.process.wait(PATIENCE) == EX_CONFIG
        assert f"CYBERIMAGE_DEVICE is '{device}', but torch sees 0 CUDA device(s) here" in runner.output()
        assert "Traceback" not in runner.output()
        assert runner.output().count("A worker has started.") == 1
    assert (harness.state(job), harness.stored(job).attempts) == (State.PENDING, 0)
    services = build_services(
        Settings(data=harness.data, catalog=harness.catalog_path, models=harness.weights, allowed_hosts=(DEFAULT_HOST,))
    )
    ready = TestClient(create_app(services)).simulate_get("/health/ready")
    assert ready.status_code == 503
    assert f"No runner is running; jobs wait until one is started. CYBERIMAGE_DEVICE is '{device}'" in ready.text


@pytest.mark.parametrize("device", ["gpu", "mps", "cuda:", "cuda:-1", "cuda:01", "cuda0"])
def test_a_device_that_does_not_exist_is_refused_at_the_start(harness: RunnerHarness, device: str) -> None:
    with harness.runner(device=device) as runner:
        assert runner.process is not None
        assert runner.process.wait(PATIENCE) == EX_CONFIG
    right = "it must be auto, cpu, cuda or cuda:N (as cuda:0), or several devices (as cuda:0,cuda:1)."
    assert runner.output() == f"CYBERIMAGE_DEVICE is '{device}'; {right}\n"
