"""The memory plan, over devices from 8 to 141 GB and the sizes of the real models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.local import memory_plan
from engine.local.memory_plan import GIB, MIB, AvailableMemory, Need, Placement

MEGAPIXEL = 1024 * 1024

#: FLUX.1-dev: transformer 11.9, T5 4.76, CLIP 0.12, VAE 0.08 thousand million numbers.
FLUX = (11_901_408_320, 4_762_310_656 + 123_060_480 + 83_819_683)
#: SD 3.5 large: transformer 8.06, T5 4.76, CLIPs 0.82, VAE 0.08.
SD35 = (8_056_627_520, 4_762_310_656 + 818_319_872 + 83_819_683)


def need(model: tuple[int, int], pixels: int = MEGAPIXEL, width: int = 2) -> Need:
    denoiser, rest = model
    return Need(
        weights=(denoiser + rest) * width,
        largest=denoiser * width,
        weights_fp8=denoiser + rest * width,
        largest_fp8=max(denoiser, 4_762_310_656 * width),
        pixels=pixels,
        width=width,
    )


def gpu(gigabytes: float, host: float = 128) -> AvailableMemory:
    """A GPU of that size with nothing on it but its context."""
    return AvailableMemory(is_gpu=True, device_free=int(gigabytes * 1e9) - 600 * MIB, host_free=int(host * GIB))


@pytest.mark.parametrize(
    ("model", "gigabytes", "quantisation", "placement", "fp8"),
    [
        (FLUX, 141, "none", Placement.RESIDENT, False),
        (FLUX, 80, "none", Placement.RESIDENT, False),
        (FLUX, 48, "none", Placement.RESIDENT, False),
        (FLUX, 32, "none", Placement.MODEL_OFFLOAD, False),
        (FLUX, 24, "none", Placement.GROUP_OFFLOAD, False),
        (FLUX, 8, "none", Placement.GROUP_OFFLOAD, False),
        (FLUX, 48, "fp8", Placement.RESIDENT, True),
        (FLUX, 32, "fp8", Placement.RESIDENT, True),
        (FLUX, 24, "fp8", Placement.MODEL_OFFLOAD, True),
        (FLUX, 16, "fp8", Placement.MODEL_OFFLOAD, True),
        (FLUX, 12, "fp8", Placement.GROUP_OFFLOAD, True),
        (FLUX, 48, "auto", Placement.RESIDENT, False),
        (FLUX, 32, "auto", Placement.RESIDENT, True),
        (FLUX, 24, "auto", Placement.MODEL_OFFLOAD, True),
        (SD35, 48, "none", Placement.RESIDENT, False),
        (SD35, 24, "none", Placement.MODEL_OFFLOAD, False),
        (SD35, 16, "none", Placement.GROUP_OFFLOAD, False),
        (SD35, 8, "none", Placement.GROUP_OFFLOAD, False),
    ],
)
def test_the_plan_by_device(
    model: tuple[int, int],
    gigabytes: float,
    quantisation: memory_plan.Quantisation,
    placement: Placement,
    fp8: bool,
) -> None:
    plan = memory_plan.choose(need(model), gpu(gigabytes), "auto", quantisation)
    assert (plan.placement, plan.fp8, plan.fits) == (placement, fp8, True)


def test_a_big_picture_is_decoded_in_tiles_before_weights_are_moved() -> None:
    small = memory_plan.choose(need(FLUX), gpu(48), "auto", "none")
    big = memory_plan.choose(need(FLUX, 4 * MEGAPIXEL), gpu(48), "auto", "none")
    assert (small.placement, small.vae_tiling) == (Placement.RESIDENT, False)
    assert (big.placement, big.vae_tiling) == (Placement.RESIDENT, True)


def test_the_catalog_may_insist_on_a_placement() -> None:
    plan = memory_plan.choose(need(FLUX), gpu(141), "sequential_offload", "none")
    assert plan.placement is Placement.SEQUENTIAL_OFFLOAD


def test_offloading_needs_room_in_the_host() -> None:
    plan = memory_plan.choose(need(FLUX), gpu(24, host=16), "auto", "none")
    assert not plan.fits


def test_the_cpu_offloads_nothing() -> None:
    available = AvailableMemory(is_gpu=False, device_free=16 * GIB, host_free=16 * GIB)
    plans = memory_plan.ladder(need(SD35, width=4), available, "auto", "none")
    assert [(plan.placement, plan.vae_tiling) for plan in plans] == [
        (Placement.RESIDENT, False),
        (Placement.RESIDENT, True),
    ]
    assert not any(plan.fits for plan in plans)


rooms = st.builds(
    AvailableMemory, is_gpu=st.booleans(), device_free=st.integers(0, 150 * GIB), host_free=st.integers(0, 512 * GIB)
)
needs = st.builds(
    need,
    st.tuples(st.integers(10**6, 3 * 10**10), st.integers(10**6, 10**10)),
    st.integers(64 * 64, 2048 * 2048),
    st.sampled_from([2, 4]),
)
policies = st.sampled_from(["auto", "resident", "model_offload", "group_offload", "sequential_offload"])
quantisations = st.sampled_from(["none", "fp8", "auto"])


@given(needs, rooms, policies, quantisations)
def test_a_plan_that_says_it_fits_leaves_the_reserve(
    a_need: Need, available: AvailableMemory, memory: memory_plan.Memory, quantisation: memory_plan.Quantisation
) -> None:
    plan = memory_plan.choose(a_need, available, memory, quantisation)
    if plan.fits:
        assert plan.device_bytes < available.device_free
        assert plan.host_bytes <= available.host_free
    else:
        assert not any(other.fits for other in memory_plan.ladder(a_need, available, memory, quantisation))


@given(needs, rooms, quantisations, st.integers(0, 6))
def test_a_fallback_never_needs_more_of_the_device(
    a_need: Need, available: AvailableMemory, quantisation: memory_plan.Quantisation, level: int
) -> None:
    plans = [
        memory_plan.choose(a_need, available, "auto", quantisation, fallback_level=number)
        for number in (level, level + 1)
    ]
    ladder = memory_plan.ladder(a_need, available, "auto", quantisation)
    assert ladder.index(plans[0]) <= ladder.index(plans[1])
    assert memory_plan.has_lower_memory_plan(a_need, available, "auto", quantisation, level) is (plans[0] != plans[1])


@given(needs, rooms, quantisations)
def test_what_should_fit_is_smaller_than_what_failed(
    a_need: Need, available: AvailableMemory, quantisation: memory_plan.Quantisation
) -> None:
    plan = memory_plan.ladder(a_need, available, "auto", quantisation)[-1]
    side = memory_plan.largest_side(a_need, available, plan, 16)
    assert side % 16 == 0
    assert side * side < a_need.pixels


def test_pictures_are_drawn_together_as_far_as_they_fit() -> None:
    plan = memory_plan.choose(need(FLUX), gpu(80), "auto", "none")

    def at_once(free: int, wanted: int = 4) -> int:
        return memory_plan.images_at_once(MEGAPIXEL, 2, plan, free, is_gpu=True, wanted=wanted)

    assert (at_once(40 * GIB), at_once(40 * GIB, 2)) == (4, 2)
    assert at_once(6 * GIB) == 3
    assert at_once(GIB) == 1


@pytest.mark.parametrize(("gigabytes", "goes"), [(141, 0), (64, 1), (48, 2)])
def test_models_stay_warm_while_they_fit_and_the_least_recently_used_goes_first(gigabytes: float, goes: int) -> None:
    loaded = [("oldest", 20 * GIB), ("older", 12 * GIB)]
    available = AvailableMemory(
        is_gpu=True, device_free=int(gigabytes * 1e9) - 600 * MIB - 32 * GIB, host_free=128 * GIB
    )
    assert memory_plan.to_evict(loaded, need(FLUX), available, "auto", "none") == goes
