"""What an enricher takes and gives, shared by all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from core.errors import InvalidRequest

Source = Literal["built-in", "openai"]

# The order of the API contract. styles.toml must have exactly these; loading it checks that.
STYLES: Final = ("cyberpunk", "anime", "realistic", "fantasy", "sci-fi", "enhance")
DEFAULT_STYLE: Final = "cyberpunk"


@dataclass(frozen=True, kw_only=True)
class Enrichment:
    """An enriched prompt and where it came from.

    `warning` is a sentence for the person who asked when something did not go as they would expect: a language
    model server that did not answer, or a prompt that leaves no room for a single phrase.
    """

    original_prompt: str
    enriched_prompt: str
    style: str
    source: Source
    warning: str | None = None


class Enricher(Protocol):
    """Makes a fuller prompt from a short one."""

    def enrich(self, prompt: str, style: str) -> Enrichment:
        """Enrich `prompt` in one of STYLES; raises UnknownStyle or BlankPrompt."""
        ...


class UnknownStyle(InvalidRequest):
    """The style is none of STYLES."""

    def __init__(self, style: str) -> None:
        super().__init__(f"There is no style {style[:60]!r}; choose one of {', '.join(STYLES)}.", "style")


class BlankPrompt(InvalidRequest):
    """The prompt has no visible character, so there is nothing to enrich."""

    def __init__(self) -> None:
        super().__init__("The prompt is blank; write at least one word of what the picture should show.", "prompt")


def check_request(prompt: str, style: str) -> None:
    """Raise UnknownStyle or BlankPrompt if `prompt` cannot be enriched in `style`."""
    if style not in STYLES:
        raise UnknownStyle(style)
    if not prompt.strip():
        raise BlankPrompt
