"""The promises of the built-in enricher, over many prompts and all styles."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidRequest
from enrich.built_in import BuiltInEnricher
from enrich.enricher import DEFAULT_STYLE, STYLES, BlankPrompt, UnknownStyle
from enrich.styles import load_styles

SUBJECTS = [
    "a castle on a hill",
    "a castle",
    "a bowl of fruit",
    "portrait of an old fisherman",
    "two girls laughing in a cafe",
    "a cat",
    "an owl",
    "a whale",
    "a butterfly",
    "a dragon",
    "a robot gardener",
    "a city street",
    "mountain valley",
    "cozy library interior",
    "a red sports car",
    "a sailing ship",
    "a steam train",
    "a spaceship",
    "a galaxy",
    "pizza",
    "a sunflower",
    "an old oak tree",
    "sunset over the ocean",
    "a desert",
    "a hot air balloon",
    "a bicycle",
    "jellyfish",
    "an ornate sword",
    "love",
    "ein altes Schloss am See",
    "夜の街を歩く猫",
    "лиса в лесу",
]
ENRICHER = BuiltInEnricher()
REPOSITORY = Path(__file__).resolve().parents[3]

styles = st.sampled_from(STYLES)
subjects = st.sampled_from(SUBJECTS)
prompts = st.one_of(
    st.text(min_size=1, max_size=600), st.lists(subjects, min_size=1, max_size=12).map(", ".join)
).filter(lambda text: bool(text.strip()))
everything = pytest.mark.parametrize("prompt", SUBJECTS)


def enriched(prompt: str, style: str) -> str:
    return ENRICHER.enrich(prompt, style).enriched_prompt


def added_phrases(prompt: str, style: str) -> list[str]:
    """The phrases behind the prompt, without the comma between them."""
    result = enriched(prompt, style)
    assert result.startswith(prompt)
    return [phrase for phrase in result[len(prompt) :].lstrip(", ").split(", ") if phrase]


@given(prompts, styles)
def test_the_words_are_kept_and_the_limit_holds(prompt: str, style: str) -> None:
    result = ENRICHER.enrich(prompt, style)
    assert result.original_prompt == prompt
    assert result.enriched_prompt.startswith(prompt.strip())
    assert len(result.enriched_prompt) <= max(500, len(prompt.strip()))
    assert (result.style, result.source) == (style, "built-in")
    assert (result.warning is None) == (result.enriched_prompt != prompt.strip())


@given(prompts, styles, st.integers(min_value=1, max_value=700))
def test_any_limit_holds(prompt: str, style: str, limit: int) -> None:
    result = BuiltInEnricher(max_characters=limit).enrich(prompt, style).enriched_prompt
    assert result == prompt.strip() or len(result) <= limit


@given(prompts, styles)
def test_every_phrase_is_whole_and_none_comes_twice(prompt: str, style: str) -> None:
    known = {phrase.text for phrases in load_styles().styles[style].phrases.values() for phrase in phrases}
    addition = enriched(prompt, style)[len(prompt.strip()) :].lstrip(", ")
    phrases = addition.split(", ") if addition else []
    assert all(phrase in known or phrase[0].lower() + phrase[1:] in known for phrase in phrases)
    assert len(set(phrases)) == len(phrases)


@everything
@pytest.mark.parametrize("style", STYLES)
def test_a_short_prompt_grows_into_a_full_one(prompt: str, style: str) -> None:
    phrases = added_phrases(prompt, style)
    assert 5 <= len(phrases) <= 10
    assert ENRICHER.enrich(prompt, style).warning is None


@everything
@pytest.mark.parametrize("style", [style for style in STYLES if style != "enhance"])
def test_the_style_is_named(prompt: str, style: str) -> None:
    names = {"cyberpunk": "cyberpunk", "realistic": "realis|lifelike|true-to-life", "sci-fi": "sci-fi|science fiction"}
    assert re.search(names.get(style, style), enriched(prompt, style).lower())


@pytest.mark.parametrize("style", STYLES)
def test_different_prompts_get_different_phrases(style: str) -> None:
    additions = {tuple(added_phrases(f"a castle, number {number}", style)) for number in range(40)}
    assert len(additions) == 40


@everything
def test_styles_differ(prompt: str) -> None:
    assert len({enriched(prompt, style) for style in STYLES}) == len(STYLES)


def test_the_same_prompt_gets_the_same_result_in_another_process() -> None:
    code = (
        "from enrich.built_in import BuiltInEnricher;"
        "print(BuiltInEnricher().enrich('a castle on a hill', 'fantasy').enriched_prompt)"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            cwd=REPOSITORY,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert answers == {enriched("a castle on a hill", "fantasy")}


@pytest.mark.parametrize(
    ("statement", "conflict"),
    [
        (
            "at night",
            (
                r"golden hour|sunlight|sunlit|sunbeam|morning|afternoon|daylight|\bsun\b|sunny"
                r"|overcast|shafts|long shadows"
            ),
        ),
        ("at noon", r"moon|torchlight|firelight|lamplight|twilight|golden hour|morning|\bnight\b|low sun"),
        ("at sunset", r"overcast|morning|\bnight\b"),
        ("under water", r"golden hour|\bsun|cloud|\brain|\bsky\b|horizon|dust|steam|smoke|smog|breeze|morning mist"),
        ("in the desert", r"puddle|rain-slick|snow"),
        ("at sunrise", r"moonlight|moonlit|twilight|evening|late afternoon"),
        ("in heavy rain", r"sunlight|sunlit|golden hour|moonlight|sunny|clear (?:air|light|morning)|snow|\bsun\b"),
        ("in the snow", r"\brain|petals|puddle|summer|wet asphalt|blooming|grass"),
        ("in autumn", r"petals|cherry|summer|blooming"),
        (
            "in watercolor",
            r"digital|photo|\bRAW\b|\d+mm|lens|3D|oil painting|film (?:grain|look|still)|cel.shad|8k|render\b",
        ),
        ("as an oil painting", r"digital|photo|\bRAW\b|\d+mm|lens|3D|cel.shad|film grain|8k"),
        ("in black and white", r"magenta|cyan|teal|violet|vibrant|blue|gold|pink|colou?r"),
        ("in a kitchen", r"\bsky\b|horizon|\brain|\bstreet|valley|forest|mountain|rooftop|wind\b|clouds|\bmist\b"),
        ("in outer space", r"\brain|mist\b|clouds|horizon|\bstreet|puddle|sky\b|breeze"),
        ("in a happy mood", r"gritty|menacing|ominous|brooding|grim"),
        ("highly detailed, 8k, sharp focus", r"detail|8k|sharp focus|resolution|masterpiece|quality"),
        ("close-up", r"wide|panoram|aerial|establishing|full body|close-up"),
        ("lit by candlelight", r"neon glow|rim light|window light|golden hour|sunlight|backlight|lighting"),
    ],
)
@pytest.mark.parametrize("style", STYLES)
def test_nothing_contradicts_or_repeats_what_is_said(statement: str, conflict: str, style: str) -> None:
    for subject in (
        "a castle",
        "an old man",
        "a cat",
        "a motorcycle",
        "a bowl of fruit",
        "a house and a tree",
        "a thing",
    ):
        prompt = f"{subject} {statement}"
        assert not re.search(conflict, ", ".join(added_phrases(prompt, style))), enriched(prompt, style)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("prompts", "unfit"),
    [
        (["a castle", "a lighthouse", "a temple"], r"portrait|85mm|skin|\bhair|\bface\b|\bpose"),
        (
            ["a bowl of fruit", "pizza", "a cup of coffee"],
            r"street|\balley|\bhair|portrait|\beyes|skyline|armor|facade",
        ),
        (["a red house", "a cottage", "a barn"], r"spire|pennant|buttress|stained glass|banners stirring"),
        (["abstract shapes in blue and orange"], r"kitchen|flat lay|appetizing|\bserved|moisture"),
        (["an underwater city"], r"cloud|sunlight|golden hour|\brain\b|\bsky\b"),
        (["a whale", "a koi", "an octopus"], r"fluffy|\bfur\b|\bhair|feather|collar|rooftop|grass|branch"),
        (["a butterfly", "a spider"], r"fluffy|collar|hair\b|feather|fins"),
        (["a spaceship", "a starship"], r"road|asphalt|gravel|street|rubber|sails|harbor"),
        (["a cherry tree", "an oak"], r"windowsill|macro|\bpod\b|plain surface"),
        (["the ocean", "a lake"], r"grass|\brocks?\b|standing stones|foliage|roots"),
        (["a jellyfish", "a dolphin"], r"scales|\bfins|feather|collar"),
        (["a hot air balloon"], r"engine|armor|runway|rivets|road"),
        (["a sailing ship", "a canoe"], r"road|asphalt|gravel|rubber|hover pads|tunnel"),
        (["a dragon", "a golem"], r"hair\b|hacker|window light|classroom|portrait|clothing"),
        (["mountain valley", "a waterfall"], r"portrait|skin|\bhair\b|facade|chrome|clothing|\bface\b|decals"),
        (["a crowd of people", "three women"], r"portrait|85mm|head and shoulders|the face\b"),
    ],
)
def test_the_words_fit_the_subject(prompts: list[str], unfit: str, style: str) -> None:
    for prompt in [*prompts, *(f"{prompt}, picture {number}" for prompt in prompts for number in range(12))]:
        assert not re.search(unfit, ", ".join(added_phrases(prompt, style))), enriched(prompt, style)


def test_the_subject_gets_words_of_its_own() -> None:
    own = {phrase.text for phrase in load_styles().styles["fantasy"].phrases["detail"] if phrase.pool == "building"}
    assert own & set(added_phrases("a castle on a hill", "fantasy"))


@pytest.mark.parametrize(
    ("prompt", "start"),
    [
        ("a castle", r"a castle, [a-z]"),
        ("a castle,", r"a castle, [a-z]"),
        ("A castle.", r"A castle\. [A-Z]"),
        ("Is it a castle?", r"Is it a castle\? [A-Z]"),
        ("  a castle \n", r"a castle, [a-z]"),
    ],
)
def test_the_joint_reads_well(prompt: str, start: str) -> None:
    for style in ("anime", "fantasy"):
        assert re.match(start, enriched(prompt, style))


def test_a_prompt_without_room_is_returned_with_a_warning() -> None:
    prompt = "a castle " * 55 + "at dawn"
    result = ENRICHER.enrich(prompt, "fantasy")
    assert result.enriched_prompt == prompt
    assert result.warning is not None
    assert "502 characters" in result.warning
    assert "500" in result.warning


def test_little_room_gets_few_phrases() -> None:
    prompt = "a castle, " + "x" * 430
    assert 1 <= len(added_phrases(prompt, "fantasy")) <= 4


@pytest.mark.parametrize("style", ["", "Cyberpunk", "steampunk", "x" * 10_000, "anime\n"])
def test_an_unknown_style_is_refused_with_the_list(style: str) -> None:
    with pytest.raises(UnknownStyle) as refusal:
        ENRICHER.enrich("a castle", style)
    assert all(known in str(refusal.value) for known in STYLES)
    assert len(str(refusal.value)) < 300
    assert isinstance(refusal.value, InvalidRequest)
    assert refusal.value.field == "style"


@pytest.mark.parametrize("prompt", ["", " ", "\n\t"])
def test_a_blank_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(BlankPrompt):
        ENRICHER.enrich(prompt, DEFAULT_STYLE)


def test_the_styles_are_those_of_the_contract() -> None:
    assert STYLES == ("cyberpunk", "anime", "realistic", "fantasy", "sci-fi", "enhance")
    assert DEFAULT_STYLE == "cyberpunk"


def test_importing_and_using_it_loads_no_http_client_and_no_torch() -> None:
    code = (
        "import sys; from enrich.enricher import enricher_from; enricher_from().enrich('a castle', 'anime');"
        "print([name for name in ('httpx', 'torch', 'numpy') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert ran.stdout.strip() == "[]"


def test_every_phrase_can_be_added_to_some_subject() -> None:
    """Guards the data: no comma, no phrase that contradicts itself, no pool too small to vary."""
    for style in load_styles().styles.values():
        for phrases in style.phrases.values():
            for phrase in phrases:
                assert "," not in phrase.text
                assert phrase.text == phrase.text.strip()
                assert len(phrase.text) <= 60
                assert not re.search(r"\b(its|his|her|their)\b", phrase.text)
