"""The front door of the package: choose an enricher by the settings, and call its `enrich`."""

from __future__ import annotations

from enrich.built_in import BuiltInEnricher
from enrich.enrichment import DEFAULT_STYLE, STYLES, BlankPrompt, Enricher, Enrichment, UnknownStyle
from enrich.openai_client import OpenAIEnricher

__all__ = [
    "DEFAULT_STYLE",
    "STYLES",
    "BlankPrompt",
    "BuiltInEnricher",
    "Enricher",
    "Enrichment",
    "OpenAIEnricher",
    "UnknownStyle",
    "enricher_from",
]


def enricher_from(
    *,
    openai_endpoint: str | None = None,
    openai_api_key: str | None = None,
    openai_model: str | None = None,
    openai_timeout: float = 15.0,
    max_characters: int = 500,
) -> Enricher:
    """The built-in enricher, or one that asks a server first if `openai_endpoint` is set.

    A key alone changes nothing: it may be in the environment for other programs, and prompts must not leave the
    machine by accident. Raises SettingsError if the endpoint, the key or the model cannot be used.
    """
    built_in = BuiltInEnricher(max_characters)
    if not openai_endpoint or not openai_endpoint.strip():
        return built_in
    return OpenAIEnricher(
        endpoint=openai_endpoint,
        model=openai_model or "",
        api_key=openai_api_key or "",
        timeout=openai_timeout,
        fallback=built_in,
        max_characters=max_characters,
    )
