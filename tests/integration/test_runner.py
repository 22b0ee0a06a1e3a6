"""The runner as a program: real processes, real pipelines (tiny ones), files in and files out."""

from __future__ import annotations

from PIL import Image

from outputs import png
from tests.runner_desk import RunnerDesk


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
