"""What a text says, as far as the lexicon knows: the kind of its subject, and facts such as time of day or medium.

The reading is deliberately simple and cautious. Where it is unsure it reports more facts rather than fewer, which costs
a phrase or two; a wrong phrase would spoil the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from enrich.lexicon import Facts, Lexicon, Match, load_lexicon, singulars, tokenize

# "lighting" repeats "light", "lighthouse" does not: at most so many letters may follow the common beginning.
_LONGEST_ENDING = 3
_SHORTEST_STEM = 4
# The place of "a cat in a hammock": somewhere, and no phrase may move it elsewhere.
_SOME_PLACE = frozenset({"some place"})


@dataclass(frozen=True)
class Reading:
    """What a text says.

    `kind` is the kind of its subject, None if unknown. `facts` are the values it states by aspect. `words` are the
    words that a phrase should not repeat.
    """

    kind: str | None
    facts: Facts
    words: frozenset[str]

    def repeats(self, words: Iterable[str]) -> bool:
        """Whether any of `words` is, apart from its ending, one of this text's."""
        return any(_same_stem(one, other) for one in words for other in self.words)


def read_phrase(text: str) -> Reading:
    """Read a phrase of a style: it states one thing, so "rain clouds" are only what both rain and clouds may be."""
    lexicon = load_lexicon()
    tokens = tokenize(text)
    stated = [match.meaning.says for match in lexicon.matches(tokens)]
    facts = _merge(stated)
    for says in stated:
        for aspect, values in says.items():
            facts[aspect] = facts[aspect] & values or facts[aspect]
    return Reading(kind=None, facts=facts, words=content_words(tokens, lexicon))


def read(text: str) -> Reading:
    """Read a prompt, which may state several things ("from dusk till dawn")."""
    lexicon = load_lexicon()
    tokens = tokenize(text)
    stated = list(_stated(tokens, lexicon))
    matches = list(lexicon.matches(stated))
    facts = _merge(match.meaning.says for match in matches)
    if "underwater" in facts.get("exposure", ()):  # "an underwater city" has no open sky, though a city has
        facts["exposure"] = frozenset({"underwater"})
    if "place" not in facts and _names_a_place(stated, matches, lexicon):
        facts["place"] = _SOME_PLACE
    return Reading(kind=_subject_kind(stated, matches), facts=facts, words=content_words(tokens, lexicon))


def content_words(tokens: Iterable[str], lexicon: Lexicon) -> frozenset[str]:
    """The words that carry meaning, in the singular."""
    words = (token for token in tokens if token.isalnum() and (len(token) > 2 or not token.isascii()))
    return frozenset((singulars(word) or [word])[0] for word in words if word not in lexicon.light_words)


def _same_stem(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    if shorter == longer:
        return True
    return (
        len(shorter) >= _SHORTEST_STEM and len(longer) - len(shorter) <= _LONGEST_ENDING and longer.startswith(shorter)
    )


def _merge(stated: Iterable[Facts]) -> dict[str, frozenset[str]]:
    merged: dict[str, frozenset[str]] = {}
    for facts in stated:
        for aspect, values in facts.items():
            merged[aspect] = merged.get(aspect, frozenset()) | values
    return merged


def _stated(tokens: Iterable[str], lexicon: Lexicon) -> Iterator[str]:
    """The tokens without what is denied: from a negation up to the next punctuation or place."""
    is_denied = False
    for token in tokens:
        is_denied = token in lexicon.negations or (is_denied and token.isalnum() and token not in lexicon.places)
        if not is_denied:
            yield token


def _names_a_place(tokens: list[str], matches: list[Match], lexicon: Lexicon) -> bool:
    """ "in a hammock" does; "at night" and "in the rain", which name nothing that can be stood on, do not."""
    starts = [position for position, token in enumerate(tokens) if token in lexicon.places]
    for start, end in pairwise([*starts, len(tokens)]):
        inside = [match for match in matches if start <= match.start < end]
        if not inside or any(match.meaning.kind for match in inside):
            return True
    return False


def _subject_kind(tokens: list[str], matches: list[Match]) -> str | None:
    """The kind of the subject: the last of the first known nouns that stand together, as in "wizard tower".

    What is in a thing counts for more than the thing: "a bowl of fruit".
    """
    named = [match for match in matches if match.meaning.kind]
    if not named:
        return None
    if len(named[-1].term[-1]) == 1:  # a Chinese or Japanese character, where the subject comes last
        return named[-1].meaning.kind
    head = named[0]
    for match in named[1:]:
        between = tokens[head.end : match.start]
        is_content = between == ["of"] and head.meaning.kind == "object"
        head = match if is_content or not between else head
    is_group = head.plural or sum(match.meaning.kind == "person" for match in named) > 1
    return "group" if head.meaning.kind == "person" and is_group else head.meaning.kind
