"""The built-in enricher: composes from the phrases of a style, with no network and no model."""

# ruff: noqa: RUF001  (the punctuation of Chinese and Japanese is meant)

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from enrich.enrichment import Enrichment, check_request
from enrich.lexicon import load_lexicon
from enrich.reading import Reading, read
from enrich.styles import Phrase, Style, StyleBook, load_styles

_SENTENCE_ENDS = tuple(".!?…。！？")
_OPEN_ENDS = tuple(",;:、，；：")
# A phrase written for this kind of subject is drawn about so many times as often as one for any.
_WEIGHT_OF_FITTING = 6.0


class BuiltInEnricher:
    """Adds phrases after the prompt that fit its subject and its style.

    The same prompt and style always give the same result; the prompt itself is kept to the letter (without blanks
    around it). A phrase is left out if it contradicts the prompt or repeats one of its words. A result has at most
    `max_characters` characters, unless the prompt alone has more: then it is returned as it is, with a warning.
    """

    def __init__(self, max_characters: int = 500) -> None:
        self.max_characters = max_characters

    def enrich(self, prompt: str, style: str) -> Enrichment:
        """Enrich `prompt`; raises UnknownStyle or BlankPrompt."""
        check_request(prompt, style)
        words = prompt.strip()
        book = load_styles()  # read once, at the first use: the API starts in half the time without it
        addition = _compose(words, book.styles[style], book, self.max_characters)
        return Enrichment(
            original_prompt=prompt,
            enriched_prompt=words + addition,
            style=style,
            source="built-in",
            warning=None if addition else self._no_room(words),
        )

    def _no_room(self, words: str) -> str:
        return (
            f"The prompt of {len(words)} characters is returned as it is: no phrase could be added within the limit "
            f"of {self.max_characters} characters."
        )


class _Draft:
    """The phrases chosen so far, and what the prompt and they say together."""

    def __init__(self, prompt: Reading, room: int) -> None:
        self.prompt = prompt
        self.capacity = room
        self.facts = dict(prompt.facts)
        self.words = prompt
        self.chosen: defaultdict[str, list[str]] = defaultdict(list)
        self._modes = load_lexicon().aspects

    def fits(self, phrase: Phrase) -> bool:
        """Whether the phrase neither contradicts nor repeats, and still has room."""
        reading = phrase.reading
        return (
            len(phrase.text) + 2 <= self.capacity
            and not self.words.repeats(reading.words)
            and all(self._admits(aspect, values) for aspect, values in reading.facts.items())
        )

    def fits_as_signature(self, phrase: Phrase) -> bool:
        """Like `fits`, but the style was asked for, so if need be its name may contradict the prompt."""
        named = self.prompt.facts.get("style", frozenset())
        return (
            len(phrase.text) + 2 <= self.capacity
            and not self.words.repeats(phrase.reading.words)
            and named.isdisjoint(phrase.reading.facts.get("style", frozenset()))
        )

    def _admits(self, aspect: str, values: frozenset[str]) -> bool:
        said = self.facts.get(aspect)
        if said is None:
            return True
        return {"agree": bool(said & values), "once": False, "distinct": not said & values}[self._modes[aspect]]

    def add(self, role: str, phrase: Phrase) -> None:
        self.chosen[role].append(phrase.text)
        self.capacity -= len(phrase.text) + 2
        for aspect, values in phrase.reading.facts.items():
            self.facts[aspect] = self.facts.get(aspect, values) & values
        self.words = Reading(None, {}, self.words.words | phrase.reading.words)


def _compose(prompt: str, style: Style, book: StyleBook, max_characters: int) -> str:
    """What to write after the prompt, beginning with the blank or comma; empty if nothing fits."""
    # Reading costs time for every word, and there is room for a phrase only behind a prompt within the limit.
    if len(prompt) >= max_characters:
        return ""
    reading = read(prompt)
    draft = _Draft(reading, max_characters - len(prompt))
    for role in book.priority:
        if book.settled_by.get(role) in reading.facts:
            continue
        ranked = _ranked(style.phrases[role], prompt, style.name, reading.kind)
        if role in book.fitting_first:
            ranked.sort(key=lambda phrase: phrase.pool == "any")
        phrase = next(filter(draft.fits, ranked), None)
        if role == "signature":
            phrase = phrase or next(filter(draft.fits_as_signature, ranked), None)
        if phrase:
            draft.add(role, phrase)
    order = book.orders[int(_fraction(prompt, style.name, "order") * len(book.orders))]
    return _joined(prompt, [text for role in order for text in draft.chosen[role]])


def _ranked(phrases: Iterable[Phrase], prompt: str, style: str, kind: str | None) -> list[Phrase]:
    """The phrases for this kind of subject in the order that chance, fixed by the prompt, gives them."""
    fitting = load_lexicon().pools_for(kind)

    def rank(phrase: Phrase) -> float:
        weight = _WEIGHT_OF_FITTING if phrase.pool in fitting else 1.0
        return float(_fraction(prompt, style, phrase.text) ** (1.0 / weight))

    return sorted((phrase for phrase in phrases if phrase.pool in fitting | {"any"}), key=rank, reverse=True)


def _fraction(*parts: str) -> float:
    """A number in [0, 1) that is fixed by the parts; a hash, as random.Random may change between Pythons."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _joined(prompt: str, phrases: list[str]) -> str:
    if not phrases:
        return ""
    text = ", ".join(phrases)
    if prompt.endswith(_SENTENCE_ENDS):
        return " " + text[0].upper() + text[1:]
    return (" " if prompt.endswith(_OPEN_ENDS) else ", ") + text
