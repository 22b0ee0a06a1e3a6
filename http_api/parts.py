"""What the API is made of, put together once per worker process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from enrich.enricher import Enricher, enricher_from
from http_api.rate_limit import RateLimiter
from jobs.catalog import Catalog
from jobs.index import JobIndex
from jobs.requests import RequestValidator
from jobs.runner_status import available_models
from jobs.settings import Settings
from jobs.spool import Spool
from outputs.index import ImageIndex
from outputs.maintenance import image_index, job_index
from outputs.store import ImageStore


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The collaborators of the resources. Holds no thread and no open file, so it may be made before a fork."""

    settings: Settings
    spool: Spool
    store: ImageStore
    jobs: JobIndex
    images: ImageIndex
    catalog: Catalog
    validator: RequestValidator
    enricher: Enricher
    limiter: RateLimiter


def assemble(settings: Settings) -> Parts:
    """The real parts for these settings; raises CatalogError, SettingsError."""
    spool = open_spool(settings)
    images = image_index(settings.data)
    # The weights may be where only the runner sees them, as in containers.
    catalog = Catalog.load(settings.catalog, settings.models, partial(available_models, settings.data))
    return Parts(
        settings=settings,
        spool=spool,
        store=ImageStore(spool.outputs, spool.temporary, images),
        jobs=job_index(settings.data),
        images=images,
        catalog=catalog,
        validator=RequestValidator(catalog, settings.prompt_limit),
        enricher=_enricher(settings),
        limiter=RateLimiter(_rate_limit_file(settings.data), settings.rate_limit),
    )


def open_spool(settings: Settings) -> Spool:
    """The spool with the operator's limits; its directories are made by `prepare`."""
    return Spool(
        settings.data,
        max_pending=settings.max_pending,
        reserve_bytes=settings.reserve_megabytes << 20,
        observer=job_index(settings.data),
    )


def _rate_limit_file(data: Path) -> Path:
    return data / "spool" / "rate_limit.sqlite3"


def _enricher(settings: Settings) -> Enricher:
    return enricher_from(
        openai_endpoint=settings.openai_endpoint,
        openai_api_key=settings.openai_api_key,
        openai_model=settings.openai_model,
        openai_timeout=settings.openai_timeout,
        max_characters=settings.prompt_limit,
    )
