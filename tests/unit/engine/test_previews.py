"""Previews of jobs: when they come, that they cost no image, and what is learned meanwhile."""

from __future__ import annotations

import io
import logging

import pytest
import torch
from PIL import Image

from engine.local.preview_budget import Budget
from engine.local.preview_decoders import Autoencoder
from engine.local.previews import Previews
from jobs.claims import Claim
from jobs.schema import Job, State
from tests.unit.conftest import Bench

MODELS = ["tiny-sd", "tiny-sd3", "tiny-flux"]


@pytest.fixture
def shown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The previews of a bench whose previews may take all the time they like."""
    seen: list[bytes] = []
    show = Claim.show
    monkeypatch.setattr(Claim, "show", lambda claim, webp: (seen.append(webp), show(claim, webp)))
    bench.use_previews(unlimited(bench))
    return seen


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose own decoder is not at hand, so that a map must be learned."""
    monkeypatch.setattr("engine.local.preview_decoders._is_at_hand", lambda *_: False)


def unlimited(bench: Bench) -> Previews:
    layout = bench.harness.spool.layout
    return Previews(layout.latent_maps, layout.temporary, Budget(1e9), interval=0)


def pixels_of(bench: Bench, job: Job) -> list[bytes]:
    return [Image.open(bench.harness.store.path(image.id)).tobytes() for image in bench.harness.images_of(job)]


@pytest.mark.parametrize("model", MODELS)
def test_the_first_picture_of_a_model_has_previews(bench: Bench, shown: list[bytes], model: str) -> None:
    job = bench.harness.submit(model=model, num_images=2, num_inference_steps=5, width=64, height=32)
    bench.run(job)
    assert bench.harness.state(job) is State.COMPLETED
    # Of the first, steps 2, 3 and 4: one alone tells nothing of the time. What comes after the last is the picture.
    assert len(shown) == 3 + 4
    for webp in shown:
        with Image.open(io.BytesIO(webp)) as preview:
            assert preview.format == "WEBP"
            assert preview.size == (64, 32)
    assert bench.harness.spool.preview(job.id) is None


@pytest.mark.parametrize("model", MODELS)
def test_pictures_are_the_same_with_and_without(bench: Bench, shown: list[bytes], model: str) -> None:
    first = bench.harness.submit(model=model, seed=5, num_images=2)
    bench.run(first)
    assert shown
    bench.use_previews(None)
    second = bench.harness.submit(model=model, seed=5, num_images=2)
    bench.run(second)
    assert pixels_of(bench, first) == pixels_of(bench, second)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), ValueError("an unknown layout")])
def test_a_decoder_that_fails_costs_no_image_and_is_not_tried_again(
    bench: Bench,
    shown: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    tries: list[int] = []

    def fail(_self: Autoencoder, _latents: torch.Tensor) -> None:
        tries.append(1)
        raise error

    monkeypatch.setattr(Autoencoder, "draw", fail)
    jobs = [bench.harness.submit(num_images=2, num_inference_steps=4) for _ in range(2)]
    with caplog.at_level(logging.WARNING):
        bench.run(*jobs)
    assert [bench.harness.state(job) for job in jobs] == [State.COMPLETED] * 2
    assert len(tries) == 1
    assert caplog.text.count("Previews by the model's own decoder failed and are left out") == 1
    # The tiny Stable Diffusion's latents are scaled as the real one's, whose colours are published.
    assert shown


def test_a_lost_device_is_not_taken_for_a_bad_decoder(
    bench: Bench, shown: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Autoencoder, _latents: torch.Tensor) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(Autoencoder, "draw", fail)
    job = bench.harness.submit(num_inference_steps=4)
    bench.run(job)
    assert bench.harness.state(job) is not State.COMPLETED


@pytest.mark.usefixtures("no_decoder")
def test_without_a_decoder_the_second_picture_has_previews_and_later_workers_know_how(
    bench: Bench, shown: list[bytes]
) -> None:
    bench.run(bench.harness.submit(model="tiny-sd3"))
    assert shown == []
    bench.use_previews(unlimited(bench))
    bench.run(bench.harness.submit(model="tiny-sd3", num_inference_steps=4))
    assert len(shown) == 2


@pytest.mark.usefixtures("no_decoder")
def test_a_damaged_map_is_learned_again(bench: Bench, shown: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    bench.run(bench.harness.submit(model="tiny-sd3"))
    (path,) = (bench.harness.data / "previews").iterdir()
    path.write_bytes(b"rubbish")
    bench.use_previews(unlimited(bench))
    bench.run(bench.harness.submit(model="tiny-sd3", num_images=2))
    assert len(shown) == 2
    assert "learned again" in caplog.text


@pytest.mark.usefixtures("no_decoder")
def test_a_map_that_cannot_be_kept_costs_nothing_else(
    bench: Bench, shown: list[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Previews, "keep", refuse)
    job = bench.harness.submit(model="tiny-sd3", num_images=2)
    bench.run(job)
    assert bench.harness.state(job) is State.COMPLETED
    assert caplog.text.count("could not be kept") == 1


def test_a_disk_that_refuses_previews_costs_nothing_else(
    bench: Bench, shown: list[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Claim, "show", refuse)
    job = bench.harness.submit(num_images=2)
    with caplog.at_level(logging.WARNING):
        bench.run(job)
    assert bench.harness.state(job) is State.COMPLETED
    assert caplog.text.count("A preview could not be written") == 1


def test_previews_can_be_switched_off(bench: Bench, shown: list[bytes]) -> None:
    bench.use_previews(None)
    bench.run(bench.harness.submit(num_images=2))
    assert shown == []
    assert list((bench.harness.data / "previews").iterdir()) == []


def test_what_a_preview_raises_for_the_job_is_passed_on(
    bench: Bench, shown: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("the claim is lost")

    monkeypatch.setattr(Claim, "show", refuse)
    job = bench.harness.submit()
    bench.run(job)
    assert bench.harness.state(job) is not State.COMPLETED
