"""Turning a language model's answer into a prompt, or saying why it is none.

Models asked for "the prompt only" still wrap it: in reasoning, greetings, headings, quotes, code fences, bullets,
closing remarks. All of that is removed here; the words of the prompt itself are not touched.
"""

# ruff: noqa: RUF001  (typographic quotes and the punctuation of Chinese and Japanese are meant)

from __future__ import annotations

import re
import unicodedata

_REASONING = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_UNFINISHED_REASONING = re.compile(r"</?(think|thinking|reasoning)>", re.IGNORECASE)
_FENCED = re.compile(r"```[\w-]*\n(.*?)```", re.DOTALL)
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t].*$", re.MULTILINE)
_LINE_MARKS = re.compile(r"^[ \t]*(?:#{1,6}|>|[-*•+]|\d{1,2}[.)])[ \t]+", re.MULTILINE)
_INLINE_MARKS = re.compile(r"\*\*|__|`|^\*|\*$")
_PREAMBLE = re.compile(
    r"""^\s*(?:
        (?:sure(?:\ thing)?|certainly|of\ course|absolutely|okay|ok|great)[,.!:]+
      | here(?:['’]s|\ is|\ are|\ you\ go)\b[^\n:]{0,120}:
      | (?:(?:the|your|my|an?|new|enriched|enhanced|improved|expanded|final|image|detailed|rewritten)\s+){0,4}prompt\s*:
    )\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_REMARK = re.compile(r"^\s*\(?(?:note|explanation|this prompt|let me know|i hope|feel free|would you)\b", re.IGNORECASE)
_REFUSAL = re.compile(
    r"""^\s*(?:
        i['’]?m\ sorry | i\ am\ sorry | sorry[,.!] | sorry\ but\b | as\ an\ ai\b | unfortunately\b
      | i\ (?:can['’]?t|cannot|can\ not|won['’]?t)\b
      | (?:i['’]?m|i\ am)\ (?:unable|not\ able)
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "「": "」", "„": "“"}
_APOSTROPHE = re.compile(r"\b['’]\b")
_BOUNDARY = re.compile(r"[,;.](?=\s)|[，；。、]")
# Beyond so many times the limit the model has run on, and no cut of it is what it meant to say.
_RAN_ON = 8
# A cut that leaves less than this part of the limit has cut away the prompt itself.
_LEAST_PART = 4


class UnusableAnswer(Exception):
    """The answer holds no prompt; the message ends the sentence "The language model server ..."."""


def prompt_in(answer: str, max_characters: int) -> str:
    """The prompt that a model's answer holds, on one line, of at most `max_characters` characters.

    A longer one is cut between two phrases. Raises UnusableAnswer for an answer that is empty, a refusal, not a
    plain text, or too long to be cut sensibly.
    """
    if len(answer) > max_characters * _RAN_ON:
        raise UnusableAnswer(f"ran on for {len(answer)} characters")
    prompt = _one_line(_without_wrapping(_without_reasoning(answer)))
    if _REFUSAL.match(prompt):
        raise UnusableAnswer("declined to write this prompt")
    if prompt.startswith(("{", "<", "[{", '["')):
        raise UnusableAnswer("answered with markup instead of a prompt")
    if not any(character.isalpha() for character in prompt):
        raise UnusableAnswer("gave an empty answer")
    return _cut(prompt, max_characters)


def _without_reasoning(answer: str) -> str:
    answer = _REASONING.sub("", answer)
    if _UNFINISHED_REASONING.search(answer):
        raise UnusableAnswer("answered with unfinished reasoning")
    return answer


def _without_wrapping(text: str) -> str:
    """Without fences, headings, bullets, greetings, closing remarks and quotes, in whatever order they are nested."""
    fenced = _FENCED.search(text)
    text = fenced[1] if fenced else text
    text = "\n".join(line for line in text.strip().splitlines() if not _REMARK.match(line))
    text = _HEADING.sub("", text).strip() or text
    text = _LINE_MARKS.sub("", text)
    before = None
    while text != before:
        before = text
        text = _INLINE_MARKS.sub("", text.strip())
        text = _unquoted(_PREAMBLE.sub("", text).strip())
    return text


def _unquoted(text: str) -> str:
    """Without the quotes around the whole; quotes inside it stay."""
    if len(text) < 2 or _QUOTES.get(text[0]) != text[-1]:
        return text
    inside = text[1:-1].strip()
    without_apostrophes = _APOSTROPHE.sub("", inside)
    return text if text[0] in without_apostrophes or text[-1] in without_apostrophes else inside


def _one_line(text: str) -> str:
    """Lines joined by commas where they do not end in one, blanks folded, control characters dropped."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    joined = ""
    for line in filter(None, lines):
        gap = "" if not joined else " " if joined[-1] in ",;:.!?" else ", "
        joined += gap + line
    return "".join(character for character in joined if unicodedata.category(character) not in ("Cc", "Cs", "Cn", "Co"))


def _cut(prompt: str, max_characters: int) -> str:
    if len(prompt) <= max_characters:
        return prompt
    ends = [match.start() for match in _BOUNDARY.finditer(prompt) if match.start() <= max_characters]
    if not ends or ends[-1] < max_characters // _LEAST_PART:
        raise UnusableAnswer(f"wrote {len(prompt)} characters without a place to cut at {max_characters}")
    return prompt[: ends[-1]]
