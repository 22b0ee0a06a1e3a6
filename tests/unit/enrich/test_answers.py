"""Answers as language models really wrap them, and what is left of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.answers import UnusableAnswer, prompt_in

PLAIN = "a castle on a hill, ivy on the walls, a king's banner in the wind"

WRAPPINGS = [
    "{}",
    '"{}"',
    "'{}'",
    "\u201c{}\u201d",
    "`{}`",
    "**{}**",
    "```\n{}\n```",
    "```text\n{}\n```",
    "Prompt: {}",
    "**Enhanced Prompt:** {}",
    "Sure! {}",
    "Here is your enriched prompt:\n\n{}",
    'Certainly! Here\u2019s a richer version of the prompt:\n\n"{}"',
    "# Enriched prompt\n\n{}",
    "> {}",
    "<think>The user wants a castle. I add ivy.</think>\n\n{}",
    "{}\n\nThis prompt stresses the mood.",
    "{}\n\nLet me know if you want another one!",
    "OK.\n**Prompt:** `{}`\n\nNote: ivy is green.",
    "\n\n  {}  \n",
]


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_the_wrapping_goes_and_the_prompt_stays(wrapping: str) -> None:
    assert prompt_in(wrapping.format(PLAIN), 500) == PLAIN


@pytest.mark.parametrize(
    "prompt",
    [
        "Great Wall of China, sunset",
        "Sorry state of a ruined castle, moss",
        'a sign that says "OPEN", neon',
        "a (glowing:1.3) sword, fog",
        "Sure-footed goat on a cliff, dawn",
        "夜の城、霧、月",
    ],
)
def test_a_prompt_that_looks_like_a_wrapping_stays_whole(prompt: str) -> None:
    assert prompt_in(prompt, 500) == prompt


def test_lines_become_phrases() -> None:
    assert prompt_in("- a cat\n- neon light,\n* rain", 500) == "a cat, neon light, rain"
    assert prompt_in("1. a cat\n2) neon\tlight", 500) == "a cat, neon light"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty"),
        ("  \n ", "empty"),
        ('""', "empty"),
        ("...!?", "empty"),
        ("<think>only thoughts</think>", "empty"),
        ("<think>thoughts that never end", "reasoning"),
        ("I'm sorry, but I can't help with that.", "declined"),
        ("I cannot create this image.", "declined"),
        ("As an AI, I have no eyes.", "declined"),
        ('{"prompt": "a cat"}', "markup"),
        ("<html><body>Bad gateway</body></html>", "markup"),
        ("lorem, ipsum, " * 1000, "ran on for 14000 characters"),
        ("x" * 900, "without a place to cut"),
        ("Yes, " + "x" * 900, "without a place to cut"),
    ],
)
def test_what_is_no_prompt_is_refused_with_the_reason(answer: str, reason: str) -> None:
    with pytest.raises(UnusableAnswer, match=reason):
        prompt_in(answer, 500)


def test_a_long_answer_is_cut_between_phrases() -> None:
    phrases = [f"phrase number {number}" for number in range(60)]
    cut = prompt_in(", ".join(phrases), 500)
    kept = cut.split(", ")
    assert kept == phrases[: len(kept)]
    assert len(cut) <= 500 < len(cut) + len(", " + phrases[len(kept)])


def test_an_answer_of_exactly_the_limit_is_not_cut() -> None:
    answer = "a cat, " + "y" * 493
    assert prompt_in(answer, 500) == answer
    assert prompt_in("z" * 500 + ", more", 500) == "z" * 500


@given(st.text(max_size=3000), st.integers(min_value=20, max_value=600))
def test_whatever_comes_is_a_usable_line_or_refused(answer: str, limit: int) -> None:
    try:
        prompt = prompt_in(answer, limit)
    except UnusableAnswer:
        return
    assert 0 < len(prompt) <= limit
    assert "\n" not in prompt
    assert any(character.isalpha() for character in prompt)
    prompt.encode("utf-8")
