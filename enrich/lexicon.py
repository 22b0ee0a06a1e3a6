"""The words that the built-in enricher knows: `lexicon.toml`, loaded once, and the search for them in a text."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

# Chinese, Japanese and Korean put no spaces between words: each character is a token of its own.
_CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+(?:'[^\W_{_CJK}]+)*|[,.;:!?()\[\]{{}}|\n。、]")
_POSSESSIVE = re.compile(r"'s$")

Facts = Mapping[str, frozenset[str]]
Term = tuple[str, ...]


@dataclass(frozen=True)
class Meaning:
    """What a term names (`kind`) and what it settles (`says`, values by aspect)."""

    kind: str | None = None
    says: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """A known term at tokens[start:end]; `plural` if the text has its regular plural."""

    start: int
    end: int
    term: Term
    meaning: Meaning
    plural: bool


@dataclass(frozen=True)
class Lexicon:
    """The parsed `lexicon.toml`; its comments explain the fields."""

    terms: Mapping[Term, Meaning]
    longest: int
    aspects: Mapping[str, str]
    families: Mapping[str, frozenset[str]]
    #: Words that begin a place ("in", "under"); that deny what follows; and that say too little to be repeated.
    places: frozenset[str]
    negations: frozenset[str]
    light_words: frozenset[str]

    def pools_for(self, kind: str | None) -> frozenset[str]:
        """The names of the pools of phrases that fit a subject of this kind, besides "any"."""
        if kind is None:
            return frozenset()
        return frozenset({kind} | {name for name, kinds in self.families.items() if kind in kinds})

    def matches(self, tokens: list[str]) -> Iterator[Match]:
        """The known terms in a list of tokens, from left to right, the longest first, without overlap."""
        start = 0
        while start < len(tokens):
            match = self._match_at(tokens, start)
            if match:
                yield match
            start = match.end if match else start + 1

    def _match_at(self, tokens: list[str], start: int) -> Match | None:
        for end in range(min(start + self.longest, len(tokens)), start, -1):
            words = tuple(tokens[start:end])
            for last in [words[-1], *singulars(words[-1])]:
                term = (*words[:-1], last)
                if term in self.terms:
                    return Match(start, end, term, self.terms[term], plural=last != words[-1])
        return None


def tokenize(text: str) -> list[str]:
    """Words without case, accents, hyphens and possessive endings, and the punctuation that ends a phrase."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().replace("\u2019", "'"))
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    return [_POSSESSIVE.sub("", token) for token in _TOKEN.findall(unicodedata.normalize("NFC", plain))]


def singulars(word: str) -> list[str]:
    """What `word` may be the regular English plural of; not every answer is a word."""
    if len(word) < 4 or not word.endswith("s") or word.endswith("ss"):
        return []
    candidates = [word[:-3] + "y"] if word.endswith("ies") else []
    candidates.append(word[:-1])
    if word.endswith("ves"):
        candidates += [word[:-3] + "f", word[:-3] + "fe"]
    if word.endswith("es"):
        candidates.append(word[:-2])
    return candidates


@cache
def load_lexicon() -> Lexicon:
    """Read `lexicon.toml`, once per process."""
    document = tomllib.loads(Path(__file__).with_name("lexicon.toml").read_text(encoding="utf-8"))
    terms: dict[Term, Meaning] = {}
    for entry in document["words"]:
        _add_entry(terms, entry, document["aspects"])
    return Lexicon(
        terms=terms,
        longest=max(map(len, terms)),
        aspects=document["aspects"],
        families={name: frozenset(kinds) for name, kinds in document["families"].items()},
        **{name: frozenset(words) for name, words in document["grammar"].items()},
    )


def _add_entry(terms: dict[Term, Meaning], entry: dict[str, Any], aspects: Mapping[str, str]) -> None:
    """Add an entry's terms; a term in several entries has all their meanings, but one kind at most."""
    says = {aspect: frozenset(values) for aspect, values in entry.get("says", {}).items()}
    if unknown := says.keys() - aspects.keys():
        raise ValueError(f"lexicon.toml: the aspects {sorted(unknown)} are not listed in [aspects].")
    for text in entry["terms"]:
        term = tuple(tokenize(text))
        known = terms.get(term, Meaning())
        kind = entry.get("kind", known.kind)
        if known.kind not in (None, kind):
            raise ValueError(f"lexicon.toml: {text!r} is listed as {known.kind!r} and as {kind!r}; keep one.")
        terms[term] = Meaning(kind, {**known.says, **says})
