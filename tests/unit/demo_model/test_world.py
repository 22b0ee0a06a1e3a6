"""The painter, the captions and the detectors that training and measuring rest on."""

from random import Random

import numpy as np
import pytest
import torch

from demo_model.detectors import sky_of
from demo_model.evaluate import checks, painted, rates
from demo_model.prompts import measured_prompts
from demo_model.training import words
from demo_model.training.captions import captioned, thing_phrase
from demo_model.training.latents import CHANNELS, COLOUR_WORDS, GRID, KIND_WORDS, PART, PATCH, encode
from demo_model.training.layout import Layout, Standing, arranged
from demo_model.training.scene import (
    ANY,
    EMPTY,
    NOTHING,
    SKIES,
    Request,
    Thing,
    complete,
    random_request,
)
from demo_model.training.slots import FEATURES, Codebook, indices, request_of
from demo_model.training.world import paint


def test_the_same_scene_gives_the_same_picture() -> None:
    scene = complete(random_request(Random(1)), Random(2))
    assert np.array_equal(paint(arranged(scene)), paint(arranged(scene)))


def test_another_seed_gives_another_picture_of_the_same_request() -> None:
    request = Request(sky="day", ground="grass", things=(EMPTY, Thing("tree", "green"), EMPTY))
    first, second = (paint(arranged(complete(request, Random(seed)))) for seed in (1, 2))
    assert first.shape == second.shape == (256, 256, 3)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("seed", range(20))
def test_a_completed_scene_keeps_all_that_was_asked(seed: int) -> None:
    request = random_request(Random(seed))
    scene = complete(request, Random(seed + 1))
    for name in ("sky", "celestial", "ground", "backdrop"):
        asked, shown = getattr(request, name), getattr(scene, name)
        assert shown != ANY
        assert asked in (ANY, shown)
    for asked_thing, shown_thing in zip(request.things, scene.things, strict=True):
        assert asked_thing.kind in (ANY, shown_thing.kind)
        assert asked_thing.colour in (ANY, shown_thing.colour) or asked_thing.kind == NOTHING


def test_detectors_are_right_about_painted_scenes() -> None:
    found = rates(checks(painted(one), one) for one in measured_prompts(60))
    assert found.pop("kind") >= 0.95
    assert min(found.values()) >= 0.98


def test_detectors_are_wrong_about_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    found = rates(checks(noise, one) for one in measured_prompts(40))
    assert found["colour"] <= 0.4
    assert found["both colours"] <= 0.2
    assert found["sky"] <= 0.6


@pytest.mark.parametrize("sky", SKIES)
def test_each_sky_is_told_apart(sky: str) -> None:
    assert sky_of(paint(arranged(complete(Request(sky=sky), Random(5))))) == sky


def _with(*things: Standing, shift: float = 0.0) -> Layout:
    return Layout("day", "grass", "hills", False, shift, (), things)


def test_latents_say_what_stands_in_each_cell_and_where_in_it_the_cell_lies() -> None:
    cells = encode(_with(Standing("house", "red", x=128, y=208, height=80)))
    assert cells.shape == (CHANNELS, GRID, GRID)
    row, column = 160 // PATCH, 136 // PATCH
    assert np.array_equal(cells[PART["kind"], row, column], KIND_WORDS["house"])
    assert np.array_equal(cells[PART["colour"], row, column], COLOUR_WORDS["red"])
    across, above = cells[PART["place in thing"], row, column]
    # The cell's middle is at (136, 168): a tenth of the height to the right, and half the height above the foot.
    assert across == pytest.approx(0.1 / 0.4)
    assert above == pytest.approx(0, abs=1e-6)
    assert not cells[PART["kind"], 2, 2].any()


def test_what_stands_in_front_takes_the_cell() -> None:
    behind, front = (Standing(kind, "blue", x=128, y=208, height=80) for kind in ("house", "tree"))
    cells = encode(_with(behind, front))
    assert np.array_equal(cells[PART["kind"], 10, 8], KIND_WORDS["tree"])


def test_scenery_repeats_after_the_width_of_a_picture() -> None:
    assert np.allclose(encode(_with(shift=3)), encode(_with(shift=259)), atol=1e-5)
    for backdrop in ("hills", "mountains", "city", "forest"):
        near, far = [paint(Layout("night", "sea", backdrop, False, shift, (), ())) for shift in (3, 259)]
        assert np.array_equal(near, far)


def test_words_of_the_latents_differ_from_each_other_and_from_nothing() -> None:
    for words_of, least in ((KIND_WORDS, 3), (COLOUR_WORDS, 2)):
        signs = np.stack(list(words_of.values()))
        apart = (signs[:, None] != signs[None]).sum(2) + 99 * np.eye(len(signs))
        assert apart.min() >= least


def test_requests_and_numbers_are_inverse() -> None:
    for seed in range(50):
        request = random_request(Random(seed))
        assert request_of(indices(request)) == request
        assert len(indices(request)) == len(FEATURES)


def test_slot_vectors_can_be_read_back() -> None:
    asked = torch.tensor([indices(random_request(Random(seed))) for seed in range(50)])
    book = Codebook()
    slots = book.codes(asked)
    noisy = slots + 0.3 * torch.randn(slots.shape, generator=torch.Generator().manual_seed(1))
    # Colour and size of a place that stays empty are not in any caption.
    assert torch.equal(book.read(noisy), asked)


def test_captions_name_every_colour_and_kind_that_they_ask_for() -> None:
    rng = Random(4)
    for _ in range(300):
        caption = captioned(rng)
        for thing in caption.request.things:
            if thing.colour != ANY:
                assert any(word in caption.text for word in words.COLOUR_WORDS[thing.colour])


def test_two_things_without_places_stand_left_and_right_as_mentioned() -> None:
    request = Request(things=(Thing("house", "red"), EMPTY, Thing("tree", "blue")))
    texts = {thing_phrase(request, Random(seed)) for seed in range(200)}
    assert any(text.count(" and ") == 1 and "left" not in text for text in texts)
    assert all("house" in t or any(w in t for w in words.KIND_WORDS["house"]) for t in texts)
