"""What clients look up before they draw: options, models, samplers, schedules, memory."""

from __future__ import annotations

import os
from collections.abc import Sequence

from falcon import Request, Response
from msgspec import Struct

from core.strict_json import parse_object
from http_api.a1111.answers import (
    A1111Model,
    A1111Options,
    A1111Sampler,
    A1111Scheduler,
    Memory,
    MemoryAnswer,
    NoMemory,
    Nothing,
)
from http_api.a1111.requests import chosen_model, model_of
from http_api.api.generate import client_of
from http_api.server import blocking
from http_api.server.request_body import read_json
from jobs.catalog import Catalog
from outputs.a1111 import SAMPLER_NAMES, SCHEDULE_NAMES
from service.callers import CallerOptions, Callers


class OptionsBody(Struct, frozen=True, kw_only=True):
    """The body of `POST /sdapi/v1/options`; other options are ignored."""

    sd_model_checkpoint: str | None = None


class OptionsResource:
    """What the caller has chosen; another caller's calls are not concerned."""

    def __init__(self, catalog: Catalog, callers: Callers) -> None:
        self._catalog = catalog
        self._callers = callers

    def on_get(self, req: Request, resp: Response) -> None:
        """The caller's options."""
        caller = client_of(req).scope
        chosen = blocking.run(lambda: self._callers.options(caller).model, blocking.READS)
        resp.media = A1111Options(sd_model_checkpoint=chosen_model(self._catalog, chosen))

    on_head = on_get

    def on_post(self, req: Request, resp: Response) -> None:
        """Choose the model of the caller's later calls, over all processes and restarts."""
        name = parse_object(read_json(req)).get("sd_model_checkpoint")
        if name is not None:
            options = CallerOptions(model=model_of(self._catalog, name))
            caller = client_of(req).scope
            blocking.run(lambda: self._callers.choose(caller, options))
        resp.media = Nothing()


class ModelsResource:
    """The models that can draw now."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def on_get(self, req: Request, resp: Response) -> None:
        """All of them."""
        resp.media = [
            A1111Model(title=key, model_name=key, filename=self._catalog.entry(key).id)
            for key in self._catalog.available()
        ]

    on_head = on_get


class ListResource:
    """A list that is always the same."""

    def __init__(self, entries: Sequence[Struct] = ()) -> None:
        self._entries = list(entries)

    def on_get(self, req: Request, resp: Response) -> None:
        """The list."""
        resp.media = self._entries

    on_head = on_get


class MemoryResource:
    """The memory of this machine."""

    def on_get(self, req: Request, resp: Response) -> None:
        """In bytes."""
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page
        resp.media = MemoryAnswer(
            ram=Memory(free=free, used=total - free, total=total),
            cuda=NoMemory(error="The API does not look at devices; /api/models tells how models fit."),
        )

    on_head = on_get


def samplers() -> list[A1111Sampler]:
    """The samplers that may be named; each model is drawn with its own."""
    return [A1111Sampler(name=name, aliases=[name.lower().replace(" ", "_")]) for name in SAMPLER_NAMES]


def schedulers() -> list[A1111Scheduler]:
    """The schedules that may be named."""
    return [A1111Scheduler(name=name.lower(), label=name) for name in ("Automatic", *SCHEDULE_NAMES)]
