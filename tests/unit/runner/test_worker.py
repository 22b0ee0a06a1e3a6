"""What a worker makes of a job: pictures, or the right kind of end. Real tiny pipelines on the CPU."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from PIL import Image, ImageOps

from core import files
from engine.local.devices import Device
from engine.local.pipelines import Pipelines
from jobs.catalog import Speed
from jobs.ids import image_id
from jobs.schema import Job, State
from outputs.sidecar import Sidecar
from outputs.store import ImageStore
from runner.messages import Ended, Exiting, Loaded, Loading, Stepped, WarmingUp
from tests.sidecars import sidecar_of
from tests.unit.conftest import Bench


def pixels(bench: Bench, job: Job) -> list[bytes]:
    """The picture of each image of a job, as a digest of its pixels."""
    found = []
    for sidecar in bench.harness.images_of(job):
        with Image.open(bench.harness.store.path(sidecar.id)) as image:
            found.append(hashlib.sha256(image.tobytes()).digest())
    return found


def test_two_jobs_load_once_and_each_image_can_be_made_alone(bench: Bench) -> None:
    pair = bench.harness.submit("a castle", num_images=2, seed=41)
    alone = bench.harness.submit("a castle", seed=42)
    bench.run(pair, alone)
    assert len(bench.channel.of(Loading)) == len(bench.channel.of(Loaded)) == 1
    assert [bench.harness.state(job) for job in (pair, alone)] == [State.COMPLETED] * 2
    first, second = pixels(bench, pair)
    assert pixels(bench, alone) == [second]
    assert first != second


def test_the_prompt_is_encoded_once_per_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import StableDiffusionPipeline

    calls = []
    encode = StableDiffusionPipeline.encode_prompt

    def counting(self: Any, *arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        return encode(self, *arguments, **named)

    monkeypatch.setattr(StableDiffusionPipeline, "encode_prompt", counting)
    job = bench.harness.submit("a castle", num_images=3)
    bench.run(job, bench.harness.submit("a ship"))
    assert len(calls) == 2
    assert len(list(bench.harness.images_of(job))) == 3


@pytest.mark.parametrize(("model", "uses_it"), [("tiny-sd", True), ("tiny-sd3", True), ("tiny-flux", False)])
def test_negative_prompt_and_guidance_by_family(bench: Bench, model: str, uses_it: bool) -> None:
    plain = bench.harness.submit(model=model, seed=1)
    negative = bench.harness.submit(model=model, seed=1, negative="blue")
    other_guidance = bench.harness.submit(model=model, seed=1, guidance_scale=9.0)
    bench.run(plain, negative, other_guidance)
    (before,), (after,) = pixels(bench, plain), pixels(bench, negative)
    assert (before != after) is uses_it
    (sidecar,) = bench.harness.images_of(negative)
    assert sidecar.negative_prompt == ("blue" if uses_it else None)
    assert sidecar.requested_negative_prompt == "blue"
    assert bool(sidecar.warnings) is not uses_it
    assert pixels(bench, other_guidance) != pixels(bench, plain)


def test_what_the_model_draws_smaller_is_enlarged(bench: Bench) -> None:
    models = bench.context.catalog.models
    limits = msgspec.structs.replace(models["tiny-sd"].limits, drawn_side=24)
    small = bench.harness.submit(seed=5, width=32, height=24)
    large = bench.harness.submit(seed=5, width=64, height=48)
    models["tiny-sd"] = msgspec.structs.replace(models["tiny-sd"], limits=limits)
    bench.run(small, large)
    (drawn,), (enlarged,) = bench.harness.images_of(small), bench.harness.images_of(large)
    assert (enlarged.width, enlarged.height) == (64, 48)
    with (
        Image.open(bench.harness.store.path(enlarged.id)) as found,
        Image.open(bench.harness.store.path(drawn.id)) as base,
    ):
        assert found.tobytes() == ImageOps.fit(base, (64, 48), Image.Resampling.LANCZOS).tobytes()


def test_a_later_attempt_keeps_what_is_committed(bench: Bench) -> None:
    job = bench.harness.submit("a castle", num_images=2, seed=3)
    bench.run(job)
    first, second = bench.harness.images_of(job)
    bench.harness.store.delete(second.id)
    again = bench.harness.submit("a castle", num_images=2, seed=3)
    bench.harness.spool.path(State.PENDING, again.id).unlink()
    redo = job.evolve(attempts=1)
    bench.harness.spool.path(State.COMPLETED, job.id).unlink()
    bench.harness.spool.submit(redo)
    bench.run(redo)
    kept, made = bench.harness.images_of(redo)
    assert kept == first
    assert (made.attempt, made.sha256 != second.sha256, made.seed) == (2, True, second.seed)


@pytest.mark.parametrize("left", [0, 1], ids=["deleted", "about to be deleted"])
def test_a_later_attempt_does_not_draw_what_was_deleted(bench: Bench, left: int) -> None:
    job = bench.harness.submit("a castle", num_images=2)
    first = image_id(job.order, 1)
    if left:  # killed after the tombstone was written
        bench.harness.store.commit(b"png", sidecar_of(job, 1, b"png"))
    bench.harness.spool.tombstones.put(first, job.id)
    bench.run(job)
    assert bench.harness.state(job) is State.COMPLETED
    assert [sidecar.image_number for sidecar in bench.harness.images_of(job)] == [2]
    assert not bench.harness.store.path(first).exists()


def test_a_job_whose_images_are_all_deleted_completes_without_a_model(bench: Bench) -> None:
    job = bench.harness.submit("a castle")
    bench.harness.spool.tombstones.put(image_id(job.order, 1), job.id)
    bench.run(job)
    assert bench.harness.state(job) is State.COMPLETED
    assert bench.channel.of(Loading) == []


def test_an_image_that_is_deleted_while_it_is_committed_goes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    job = bench.harness.submit("a castle", num_images=2)
    commit = bench.harness.store.commit

    def commit_meanwhile(png: bytes, sidecar: Sidecar) -> None:
        if sidecar.image_number == 1:
            bench.harness.spool.tombstones.put(sidecar.id, job.id)
        commit(png, sidecar)

    monkeypatch.setattr(bench.harness.store, "commit", commit_meanwhile)
    bench.run(job)
    assert [sidecar.image_number for sidecar in bench.harness.images_of(job)] == [2]


def test_progress_names_every_phase_and_ends_at_the_last_step(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    write = bench.harness.spool.write_progress
    monkeypatch.setattr(bench.harness.spool, "write_progress", lambda job_id, it: (seen.append(it), write(job_id, it)))
    job = bench.harness.submit("a castle", num_inference_steps=4, callback_steps=2)
    bench.run(job)
    phases = [progress.phase.value for progress in seen]
    assert list(dict.fromkeys(phases)) == ["preparing", "loading_model", "generating", "saving"]
    assert [progress.step for progress in seen if progress.phase == "generating"] == [0, 2, 4]
    assert bench.channel.of(Stepped)


def test_a_wish_to_stop_is_granted_at_the_next_step(bench: Bench) -> None:
    job = bench.harness.submit("a castle", num_inference_steps=500)
    bench.channel.on_event = lambda event: bench.context.stop.request() if isinstance(event, Stepped) else None
    bench.run(job)
    assert (bench.harness.state(job), bench.harness.stored(job).attempts) == (State.PENDING, 0)
    assert bench.channel.events[-2] == Ended(job_id=job.id, outcome="requeued")


def test_a_cancelled_job_ends_at_the_next_step_and_keeps_its_images(bench: Bench) -> None:
    job = bench.harness.submit("a castle", num_inference_steps=30, num_images=2)

    def cancel_in_second_image(event: Any) -> None:
        if isinstance(event, Stepped) and event.image_number == 2:
            bench.harness.spool.cancel(job.id)

    bench.channel.on_event = cancel_in_second_image
    bench.run(job)
    assert bench.harness.state(job) is State.CANCELLED
    assert len(list(bench.harness.images_of(job))) == 1


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int = 100) -> None:
    """Let drawing with the tiny Stable Diffusion raise `error`, so many times."""
    from diffusers import StableDiffusionPipeline

    encode, left = StableDiffusionPipeline.encode_prompt, [times]

    def failing(self: Any, *arguments: Any, **named: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error
        return encode(self, *arguments, **named)

    monkeypatch.setattr(StableDiffusionPipeline, "encode_prompt", failing)


def test_out_of_memory_is_tried_once_more_thriftier_in_a_fresh_process_then_fails_with_advice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    job = bench.harness.submit(width=64, height=64)
    bench.run(job)
    assert bench.exit_reason() == "The device ran out of memory."
    stored = bench.harness.stored(job)
    assert bench.harness.state(job) is State.PENDING
    assert stored.error is not None
    assert stored.error.type == "out_of_memory"
    bench.pipelines.unload("tiny-sd")  # as in a fresh process
    bench.run(job)
    (loaded,) = bench.channel.of(Loaded)[1:]
    assert isinstance(loaded, Loaded)
    assert loaded.plan["vae_tiling"] is True
    failed = bench.harness.stored(job)
    assert failed.error is not None
    assert (failed.outcome, failed.error.type) == ("failed", "out_of_memory")
    assert "64x64" in failed.error.message
    assert "48x48 should fit" in failed.error.message


def with_speed(bench: Bench, model: str, **speed: Any) -> None:
    """Change the speed keys of a catalog entry."""
    entry = bench.harness.catalog.models[model]
    bench.harness.catalog.models[model] = msgspec.structs.replace(entry, speed=Speed(**speed))


def test_images_of_a_job_are_drawn_together_where_the_catalog_says_so(bench: Bench) -> None:
    with_speed(bench, "tiny-sd3", batch_size=2)
    calls: list[int] = []
    job = bench.harness.submit(model="tiny-sd3", num_images=3, seed=41)
    warm = bench.pipelines.load("tiny-sd3", 32 * 32).pipeline
    denoise = warm.transformer.forward
    warm.transformer.forward = lambda *a, **n: (calls.append(len(n["hidden_states"])), denoise(*a, **n))[1]
    bench.run(job)
    assert bench.harness.state(job) is State.COMPLETED
    assert calls == [4] * 3 + [2] * 3  # guidance doubles them
    assert [sidecar.seed for sidecar in bench.harness.images_of(job)] == [41, 42, 43]
    assert len(set(pixels(bench, job))) == 3


def test_a_batch_that_ran_out_of_memory_is_drawn_one_by_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with_speed(bench, "tiny-sd", batch_size=2)
    fail_with(monkeypatch, torch.OutOfMemoryError("CUDA out of memory."), times=1)
    job = bench.harness.submit(num_images=2)
    bench.run(job)
    assert bench.harness.state(job) is State.PENDING
    seen: list[int] = []
    at_once = Pipelines.images_at_once
    monkeypatch.setattr(Pipelines, "images_at_once", lambda self, *a: (seen.append(at_once(self, *a)), seen[-1])[1])
    bench.run(job)
    assert (bench.harness.state(job), seen) == (State.COMPLETED, [1])


def test_compiling_shows_as_warming_up_for_the_first_two_shapes_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch compiles for the first shape, and for the second once more with the sizes left open."""
    load = Pipelines.load

    def loading_compiled(self: Pipelines, *arguments: Any, **named: Any) -> Any:
        loaded = load(self, *arguments, **named)
        loaded.speed["compile"] = "repeated blocks"
        return loaded

    monkeypatch.setattr(Pipelines, "load", loading_compiled)
    seen: list[str] = []
    write = bench.harness.spool.write_progress
    monkeypatch.setattr(
        bench.harness.spool, "write_progress", lambda job_id, it: (seen.append(it.phase.value), write(job_id, it))
    )
    sizes = [(32, 32), (32, 32), (32, 64), (64, 64)]
    bench.run(*(bench.harness.submit(height=height, width=width) for height, width in sizes))
    assert len(bench.channel.of(WarmingUp)) == 2
    phases = list(dict.fromkeys(seen))
    assert phases == ["preparing", "loading_model", "warming_up", "generating", "saving"]
    kinds = [type(event) for event in bench.channel.of(Loaded, WarmingUp, Ended)]
    assert kinds == [Loaded, WarmingUp, Ended, Ended, WarmingUp, Ended, Ended]


def test_memory_that_stays_behind_after_a_switch_replaces_the_worker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pipelines, "leaks", lambda self: len(self.models) > 1)
    first, second, third = bench.harness.submit(), bench.harness.submit(model="tiny-flux"), bench.harness.submit()
    bench.run(first, second, third)
    assert [bench.harness.state(job) for job in (first, second, third)] == [
        State.COMPLETED,
        State.COMPLETED,
        State.PENDING,
    ]
    assert "Memory stayed behind" in bench.exit_reason()


def test_a_picture_of_another_size_than_asked_for_carries_a_warning(bench: Bench) -> None:
    """FluxPipeline rounds down what is no multiple of its patches, and only writes so to its log."""
    entry = bench.harness.catalog.models["tiny-flux"]
    limits = msgspec.structs.replace(entry.limits, size_multiple=2)
    bench.harness.catalog.models["tiny-flux"] = msgspec.structs.replace(entry, limits=limits)
    job = bench.harness.submit(model="tiny-flux", height=34, width=32)
    bench.run(job)
    (sidecar,) = bench.harness.images_of(job)
    assert (sidecar.width, sidecar.height) == (32, 32)
    assert sidecar.warnings[-1].startswith("The model makes 32x32 instead of 32x34: limits.size_multiple")


def test_a_size_that_a_family_refuses_fails_one_job_with_its_sentence(bench: Bench) -> None:
    entry = bench.harness.catalog.models["tiny-sd3"]
    limits = msgspec.structs.replace(entry.limits, size_multiple=1)
    bench.harness.catalog.models["tiny-sd3"] = msgspec.structs.replace(entry, limits=limits)
    bad, good = bench.harness.submit(model="tiny-sd3", height=33), bench.harness.submit(model="tiny-sd3")
    bench.run(bad, good)
    failed = bench.harness.stored(bad)
    assert failed.error is not None
    assert failed.error.type == "invalid_settings"
    assert "The model refused the request: `height` and `width` have to be divisible by 2" in failed.error.message
    assert bench.harness.state(good) is State.COMPLETED


def test_a_picture_for_which_there_is_no_room_says_what_would_fit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = bench.harness.catalog.models["tiny-sd"]
    limits = msgspec.structs.replace(entry.limits, max_side=1024)
    bench.harness.catalog.models["tiny-sd"] = msgspec.structs.replace(entry, limits=limits)
    monkeypatch.setattr(Device, "memory", lambda _self: (1536 << 20, 16 << 30))
    bad = bench.harness.submit(height=1024, width=1024)
    good = bench.harness.submit()
    bench.run(bad, good)
    failed = bench.harness.stored(bad)
    assert failed.error is not None
    assert failed.error.type == "out_of_memory"
    assert failed.error.message.startswith("No room for 1024x1024: Model tiny-sd needs about 2.0 GiB of memory on CPU")
    assert "about 728x728 should fit" in failed.error.message
    assert bench.harness.state(good) is State.COMPLETED


def test_a_device_fault_replaces_the_worker_and_counts_the_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, RuntimeError("CUDA error: an illegal memory access was encountered"))
    job, other = bench.harness.submit(), bench.harness.submit()
    bench.run(job, other)
    last = bench.channel.events[-1]
    assert isinstance(last, Exiting)
    assert last.is_fault
    assert (bench.harness.state(job), bench.harness.stored(job).attempts) == (State.PENDING, 1)
    assert bench.harness.state(other) is State.PENDING
    bench.run(job)
    failed = bench.harness.stored(job)
    assert failed.error is not None
    assert (failed.outcome, failed.error.type) == ("failed", "device_error")


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ValueError("`height` must be divisible by 8"), "invalid_settings"), (ZeroDivisionError("boom"), "internal")],
)
def test_an_error_of_the_pipeline_fails_one_job_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str
) -> None:
    fail_with(monkeypatch, error, times=1)
    bad, good = bench.harness.submit("bad"), bench.harness.submit("good")
    bench.run(bad, good)
    failed = bench.harness.stored(bad)
    assert failed.error is not None
    assert (failed.error.type, str(error) in failed.error.message) == (kind, True)
    assert bench.harness.state(good) is State.COMPLETED


def test_a_full_disk_puts_the_job_back_without_losing_its_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ImageStore, "commit", full)
    job = bench.harness.submit(num_images=2)
    bench.run(job)
    assert Ended(job_id=job.id, outcome="storage_full") in bench.channel.events
    assert (bench.harness.state(job), bench.harness.stored(job).attempts) == (State.PENDING, 0)


def test_a_removed_lock_file_stops_all_writing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    job = bench.harness.submit(num_inference_steps=3)
    bench.channel.on_event = lambda event: (
        bench.harness.spool.layout.lock(job.id).unlink(missing_ok=True) if isinstance(event, Stepped) else None
    )
    bench.run(job)
    assert bench.harness.pngs() == []
    assert bench.harness.state(job) is State.PROCESSING


def test_black_pictures_carry_a_warning(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import AutoencoderKL

    decode = AutoencoderKL.decode
    monkeypatch.setattr(
        AutoencoderKL, "decode", lambda self, latents, **named: decode(self, latents * float("nan"), **named)
    )
    job = bench.harness.submit()
    with pytest.warns(RuntimeWarning, match="invalid value"):
        bench.run(job)
    (sidecar,) = bench.harness.images_of(job)
    assert "entirely black" in sidecar.warnings[0]


@pytest.mark.parametrize("step", ["move", "sync"])
def test_an_end_of_which_only_the_sync_is_refused_makes_no_second_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The file has moved to `completed` by then, and nothing may appear in another state."""
    job = bench.harness.submit()
    move = files.move

    def refuse(source: Path, target: Path, *, name: str = "move") -> None:
        if name == "final.move" and step == "sync":
            move(source, target, name=name)
        if name == "final.move":
            monkeypatch.undo()
            raise FileNotFoundError(2, "No such file or directory", str(source.parent))
        move(source, target, name=name)

    monkeypatch.setattr(files, "move", refuse)
    bench.run(job)
    places = [state for state in State if bench.harness.spool.path(state, job.id).exists()]
    assert len(places) == 1
    assert places == [State.COMPLETED] or step == "move"


def test_a_disk_too_full_for_a_claim_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    job = bench.harness.submit()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "replace", refuse)
    bench.run(job)
    ended = [event for event in bench.channel.events if isinstance(event, Ended)]
    assert [event.outcome for event in ended] == ["storage_full"]
    monkeypatch.undo()
    assert bench.harness.stored(job).attempts == 0
    assert bench.harness.state(job) is State.PENDING
