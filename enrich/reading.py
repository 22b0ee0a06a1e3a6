"""What a text says, as far as the lexicon knows: the kind of its subject, and facts such as time of day or medium.

The reading is deliberately cautious. Where it is unsure it reports more facts rather than fewer, which costs a
phrase or two; a wrong phrase would spoil the picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from enrich.lexicon import Facts, Lexicon, Match, load_lexicon, singulars, tokenize

# "lighting" repeats "light", "lighthouse" does not: at most so many letters may follow the common beginning.
_LONGEST_ENDING = 3
_SHORTEST_STEM = 4
_SHORTEST_VERB_IN_ING = 5
# The place of "a cat in a hammock": somewhere, and no phrase may move it elsewhere.
_SOME_PLACE = frozenset({"some place"})


@dataclass(frozen=True)
class Reading:
    """What a text says.

    `kind` is the kind of its subject, None if unknown. `facts` are the values it states by aspect, `denied` those
    it denies ("without rain"). `words` are the words that a phrase should not repeat.
    """

    kind: str | None
    facts: Facts
    denied: Facts
    words: frozenset[str]

    def repeats(self, words: Iterable[str]) -> bool:
        """Whether any of `words` is, apart from its ending, one of this text's."""
        return any(_same_stem(one, other) for one in words for other in self.words)


def read_phrase(text: str) -> Reading:
    """Read a phrase of a style: it states one thing, so its words are taken together."""
    lexicon = load_lexicon()
    tokens = tokenize(text)
    facts = _narrow(match.meaning.says for match in lexicon.matches(tokens))
    return Reading(kind=None, facts=facts, denied={}, words=content_words(tokens, lexicon))


def read(text: str) -> Reading:
    """Read a prompt, which may state several things ("from dusk till dawn")."""
    lexicon = load_lexicon()
    tokens = tokenize(text)
    phrases = _noun_phrases(tokens, lexicon)
    facts = _merge(match.meaning.says for phrase in phrases if not phrase.denied for match in phrase.matches)
    if "underwater" in facts.get("exposure", ()):  # "an underwater city" has no open sky, though a city has
        facts["exposure"] = frozenset({"underwater"})
    if "place" not in facts and any(_names_a_place(phrase, lexicon) for phrase in phrases):
        facts["place"] = _SOME_PLACE
    return Reading(
        kind=_subject_kind([phrase for phrase in phrases if not phrase.denied]),
        facts=facts,
        denied=_merge(_named(match.meaning.says) for phrase in phrases if phrase.denied for match in phrase.matches),
        words=content_words(tokens, lexicon),
    )


def content_words(tokens: Iterable[str], lexicon: Lexicon) -> frozenset[str]:
    """The words that carry meaning, in the singular."""
    words = (token for token in tokens if token.isalnum() and (len(token) > 2 or not token.isascii()))
    return frozenset((singulars(word) or [word])[0] for word in words if word not in lexicon.grammar["light_words"])


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


def _narrow(stated: Iterable[Facts]) -> dict[str, frozenset[str]]:
    """Like _merge, but "rain clouds" are only what both rain and clouds may be."""
    stated = list(stated)
    narrowed = _merge(stated)
    for facts in stated:
        for aspect, values in facts.items():
            narrowed[aspect] = narrowed[aspect] & values or narrowed[aspect]
    return narrowed


def _named(says: Facts) -> Facts:
    """The first aspect alone: "without rain" denies the rain, and not that the scene is outdoors."""
    return dict(list(says.items())[:1])


@dataclass
class _NounPhrase:
    """The matches between two breaks, the breaks before it (articles, prepositions), and whether it is denied."""

    breaks: list[str]
    denied: bool = False
    has_words: bool = False
    matches: list[Match] = field(default_factory=list)


def _names_a_place(phrase: _NounPhrase, lexicon: Lexicon) -> bool:
    """ "in a hammock" does; "at night", "in the rain" and "in a red dress" do not."""
    if not phrase.has_words or lexicon.grammar["places"].isdisjoint(phrase.breaks):
        return False
    nouns = [match.term[-1] for match in phrase.matches if match.meaning.kind]
    only_circumstances = phrase.matches and lexicon.grammar["clothing"].issuperset(nouns)
    return not only_circumstances


def _noun_phrases(tokens: list[str], lexicon: Lexicon) -> list[_NounPhrase]:
    """Cut at articles, prepositions, verbs in -ing and punctuation."""
    starts = {match.start: match for match in lexicon.matches(tokens)}
    phrases = [_NounPhrase([])]
    denied, position = False, 0
    while position < len(tokens):
        token, match = tokens[position], starts.get(position)
        if match is None and _is_break(token, lexicon):
            denied = _still_denied(token, denied, lexicon)
            if phrases[-1].has_words:
                phrases.append(_NounPhrase([]))
            phrases[-1].breaks.append(token)
        else:
            phrases[-1].has_words = True
            phrases[-1].denied = denied
            if match and not _is_container(tokens, match, lexicon):
                phrases[-1].matches.append(match)
        position = match.end if match else position + 1
    return phrases


def _is_break(token: str, lexicon: Lexicon) -> bool:
    grammar = lexicon.grammar
    if not token.isalnum() and "'" not in token:
        return True
    if any(token in grammar[name] for name in ("determiners", "places", "joints", "negations", "negations_end")):
        return True
    return token.endswith("ing") and len(token) >= _SHORTEST_VERB_IN_ING and token not in grammar["nouns_in_ing"]


def _still_denied(token: str, denied: bool, lexicon: Lexicon) -> bool:
    grammar = lexicon.grammar
    if token in grammar["negations"]:
        return True
    ends = not token.isalnum() or token in grammar["negations_end"] or token in grammar["places"]
    return denied and not ends


def _is_container(tokens: list[str], match: Match, lexicon: Lexicon) -> bool:
    """Whether the match is the bowl in "a bowl of fruit"."""
    following = tokens[match.end] if match.end < len(tokens) else ""
    return match.term[-1] in lexicon.grammar["containers"] and following in lexicon.grammar["of"]


def _subject_kind(phrases: list[_NounPhrase]) -> str | None:
    """The kind of the last known noun in the first noun phrase that has one."""
    kinds = [(phrase, *_head(phrase)) for phrase in phrases]
    known = [(phrase, kind, plural) for phrase, kind, plural in kinds if kind]
    if not known:
        return None
    _, kind, plural = known[0]
    joined = len(known) > 1 and known[1][1] == "person" and "and" in known[1][0].breaks
    return "group" if kind == "person" and (plural or joined) else kind


def _head(phrase: _NounPhrase) -> tuple[str | None, bool]:
    for match in reversed(phrase.matches):
        if match.meaning.kind:
            return match.meaning.kind, match.plural
    return None, False
