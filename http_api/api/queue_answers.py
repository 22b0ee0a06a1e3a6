"""The answers that concern the queue as a whole, the runner, and who asks: see `answers`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from http_api.access import Scope
from http_api.api.answers import DoneAnswer


class CancelManyAnswer(DoneAnswer, frozen=True, kw_only=True):
    """What became of the jobs."""

    cancelled: Annotated[int, Meta(description="Jobs that are cancelled by now")]
    stopping: Annotated[int, Meta(description="Jobs that stop at their next step")]
    ended: Annotated[int, Meta(description="Jobs that had completed or failed before, or are not known")]
    left: Annotated[int, Meta(description="Jobs that were not reached in time; ask again")]


class MoveAnswer(DoneAnswer, frozen=True, kw_only=True):
    """The job has another turn."""

    job_id: str
    queue_position: Annotated[int | None, Meta(description="0 = next")]


class PauseAnswer(DoneAnswer, frozen=True, kw_only=True):
    """Whether jobs are begun."""

    paused: bool


class MeAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks, and what that key may do."""

    key: Annotated[str | None, Meta(description="The key's name; null where no keys are needed")]
    scopes: Annotated[list[Scope], Meta(description="Of read, submit and admin")]


class RunnerDevice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done on one device."""

    device: Annotated[str, Meta(description="As set up, or as found: `cpu`, `cuda:0`, ...")]
    name: str | None
    state: str
    message: str | None
    job_id: str | None
    models: Annotated[list[str], Meta(description="In memory")]


class RunnerAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the runner does now: of several, the busiest one."""

    state: Literal["none", "starting", "loading", "warming_up", "drawing", "idle", "paused"]
    message: Annotated[str, Meta(description="A sentence for people")]
    devices: list[RunnerDevice]


class OrderAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The active jobs in their real order: those that run, then those that wait."""

    order: list[str]
    more: Annotated[int, Meta(description="How many more wait")]


class RemovedAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An image is gone."""

    id: str
