"""What the built-in enricher understands of a prompt."""

from __future__ import annotations

import pytest

from enrich.reading import read


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("a castle on a hill", "building"),
        ("a bowl of fruit", "food"),
        ("an empty bowl", "object"),
        ("the sword of a king", "object"),
        ("a wizard's tower above the sea", "building"),
        ("the tower of a wizard", "building"),
        ("portrait of an old fisherman", "person"),
        ("two wolves in the snow", "animal"),
        ("three knights", "group"),
        ("a man and a woman", "group"),
        ("a man and his dog", "person"),
        ("a knight riding a dragon", "person"),
        ("a fire-breathing dragon", "creature"),
        ("a cat in a spaceship", "animal"),
        ("a red sports car", "car"),
        ("a koi fish", "fish"),
        ("an orange cat", "animal"),
        ("street food", "food"),
        ("a city street at night", "city"),
        ("snowy mountain valley", "land"),
        ("sunset over the ocean", "water"),
        ("an old oak tree", "tree"),
        ("a humpback whale", "sealife"),
        ("a bicycle by the lake", "bicycle"),
        ("a woman in a red dress", "person"),
        ("an old building", "building"),
        ("no people, an abandoned station", "building"),
        ("ein altes Schloss auf einem Hügel", "building"),
        ("un château sur une colline", "building"),
        ("夜の街を歩く猫", "animal"),
        ("丘の上の城", "building"),
        ("고양이", "animal"),
        ("рыцарь", "person"),
        ("love", None),
        ("zxqv", None),
        ("!!!", None),
        ("", None),
    ],
)
def test_the_subject(prompt: str, kind: str | None) -> None:
    assert read(prompt).kind == kind


@pytest.mark.parametrize(
    ("prompt", "aspect", "value"),
    [
        ("a cat at midnight", "time", "night"),
        ("Sunset over the bay", "time", "dusk"),
        ("a rainy street", "weather", "rain"),
        ("a water-color of a cat", "medium", None),
        ("a watercolour of a cat", "medium", "watercolor"),
        ("black and white photo", "colour", "mono"),
        ("black and white photo", "medium", "photo"),
        ("a highly-detailed map", "detail", "said"),
        ("a close-up of a bee", "view", "close"),
        ("cosy kitchen", "exposure", "indoors"),
        ("une rue sous la pluie", "weather", "rain"),
        ("ein Schloss am Abend", "time", "dusk"),
        ("雨の街", "weather", "rain"),
        ("a cat", "time", None),
    ],
)
def test_the_facts(prompt: str, aspect: str, value: str | None) -> None:
    stated = read(prompt).facts.get(aspect, frozenset())
    assert value in stated if value else not stated


def test_what_is_denied_is_not_stated() -> None:
    reading = read("a street without rain in the morning")
    assert "weather" not in reading.facts
    assert "dawn" in reading.facts["time"]


def test_a_place_may_be_unknown_but_circumstances_are_none() -> None:
    assert "place" in read("a cat in a hammock").facts
    assert "place" not in read("a cat at night").facts
    assert "place" not in read("a cat in the rain").facts


@pytest.mark.parametrize(
    ("text", "word", "repeated"),
    [
        ("night lights", "lighting", True),
        ("rainy street", "rain", True),
        ("old cities", "city", True),
        ("a lighthouse", "lights", False),
        ("detail", "detailed", True),
        ("a cat", "catalogue", False),
    ],
)
def test_repetition_looks_at_stems(text: str, word: str, repeated: bool) -> None:
    assert read(text).repeats([word]) is repeated
