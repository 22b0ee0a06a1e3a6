"""What the use cases need beside the data directory, put together once per process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from core.settings import Settings
from enrich.enricher import Enricher, enricher_from
from jobs.catalog import Catalog
from jobs.requests import RequestValidator
from jobs.runner_status import available_models
from service.data import Data, open_data
from service.pictures import Pictures
from service.rate_limit import Limited, RateLimiter


@dataclass(frozen=True, kw_only=True)
class Services(Data):
    """The collaborators of the use cases and of every door. May be made before a fork, like `Data`."""

    settings: Settings
    catalog: Catalog
    validator: RequestValidator
    pictures: Pictures
    enricher: Enricher
    limiter: RateLimiter
    #: Of prompts that leave this machine; without a limit where the enricher is the built-in one.
    enrich_limiter: RateLimiter
    #: Of pictures that are sent by themselves: two for each job, the picture to begin from and its mask.
    input_limiter: RateLimiter


def build_services(settings: Settings) -> Services:
    """The real ones for these settings; raises CatalogError, SettingsError."""
    data = open_data(settings)
    catalog = Catalog.load(settings.catalog, settings.models, partial(available_models, data.layout))
    return Services(
        **vars(data),
        settings=settings,
        catalog=catalog,
        validator=RequestValidator(catalog, settings.prompt_limit),
        pictures=Pictures(data.inputs, data.store),
        enricher=_enricher(settings),
        limiter=RateLimiter(data.layout.rate_limits, settings.rate_limit),
        enrich_limiter=RateLimiter(
            data.layout.rate_limits,
            settings.rate_limit if settings.openai_endpoint.strip() else None,
            kind=Limited.FORWARDED_PROMPTS,
        ),
        input_limiter=RateLimiter(
            data.layout.rate_limits,
            replace(settings.rate_limit, amount=2 * settings.rate_limit.amount) if settings.rate_limit else None,
            kind=Limited.INPUTS,
        ),
    )


def _enricher(settings: Settings) -> Enricher:
    return enricher_from(
        openai_endpoint=settings.openai_endpoint,
        openai_api_key=settings.openai_api_key,
        openai_model=settings.openai_model,
        openai_timeout=settings.openai_timeout,
        max_characters=settings.prompt_limit,
    )
