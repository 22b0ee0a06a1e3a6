"""The phrases of the styles: `styles.toml`, loaded and read once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from enrich.enrichment import STYLES
from enrich.lexicon import load_lexicon
from enrich.reading import Reading, read_phrase


@dataclass(frozen=True)
class Phrase:
    """A phrase, the pool it is in (a kind, a family of kinds, or "any") and what it says."""

    text: str
    pool: str
    reading: Reading


@dataclass(frozen=True)
class Style:
    """A style: its phrases by role, and what it means, in words for a language model."""

    name: str
    guide: str
    phrases: Mapping[str, tuple[Phrase, ...]]


@dataclass(frozen=True)
class StyleBook:
    """The parsed `styles.toml`; its comments explain the plan."""

    styles: Mapping[str, Style]
    priority: tuple[str, ...]
    orders: tuple[tuple[str, ...], ...]
    fitting_first: frozenset[str]
    settled_by: Mapping[str, str]


@cache
def load_styles() -> StyleBook:
    """Read `styles.toml`, once per process. Raises ValueError if it does not fit STYLES and the lexicon."""
    document = tomllib.loads(Path(__file__).with_name("styles.toml").read_text(encoding="utf-8"))
    if set(document["styles"]) != set(STYLES):
        raise ValueError(f"styles.toml has the styles {sorted(document['styles'])}; it must have {sorted(STYLES)}.")
    plan = document["plan"]
    return StyleBook(
        styles={name: _style(name, table, document["shared"]) for name, table in document["styles"].items()},
        priority=tuple(plan["priority"]),
        orders=tuple(tuple(order) for order in plan["orders"]),
        fitting_first=frozenset(plan["fitting_first"]),
        settled_by=plan["settled_by"],
    )


def _style(name: str, table: dict[str, Any], shared: dict[str, Any]) -> Style:
    roles = {**shared, **{role: pools for role, pools in table.items() if isinstance(pools, dict)}}
    phrases = {role: _phrases(pools) for role, pools in roles.items()}
    phrases["signature"] = _phrases({"any": table["signature"]})
    return Style(name, table["guide"], phrases)


def _phrases(pools: dict[str, list[str]]) -> tuple[Phrase, ...]:
    lexicon = load_lexicon()
    kinds = {meaning.kind for meaning in lexicon.terms.values() if meaning.kind}
    if unknown := pools.keys() - kinds - lexicon.families.keys() - {"any"}:
        raise ValueError(f"styles.toml: the pools {sorted(unknown)} are named after no kind or family of lexicon.toml.")
    return tuple(Phrase(text, pool, read_phrase(text)) for pool, texts in pools.items() for text in texts)
