"""From untrusted bytes to a job: the one validator for HTTP bodies and dropped files."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET

from core.errors import InvalidRequest
from core.explain import explain
from core.strict_json import parse_object, shown
from jobs import limits
from jobs.absence import NOT_PULLED
from jobs.catalog import Catalog, ModelEntry
from jobs.ids import timestamp
from jobs.picture_fields import JobPicture
from jobs.pictures import check as check_pictures
from jobs.pictures import has_margins
from jobs.schema import DroppedRequest, EffectiveSettings, GenerateRequest, Job, RequestSettings

_PULL: Final = " The operator can fetch them with: python -m runner.models pull {}"
#: Seeds drawn by us stay below 2**32: easy to read aloud, and safe in JavaScript clients.
_DRAWN_SEEDS: Final = 2**32


Request = TypeVar("Request", bound=GenerateRequest)
_NO_PICTURES: Final[Mapping[str, JobPicture]] = {}


class RequestValidator:
    """Checks requests against the schema and the catalog, and makes jobs of them."""

    def __init__(self, catalog: Catalog, prompt_limit: int) -> None:
        self.catalog = catalog
        self._prompt_limit = prompt_limit

    def generate(self, raw: bytes) -> GenerateRequest:
        """The body of `POST /generate`; raises InvalidRequest."""
        return self._checked(parse_object(raw), GenerateRequest)

    def dropped(self, raw: bytes) -> DroppedRequest:
        """The content of a dropped file; raises InvalidRequest."""
        return self._checked(parse_object(raw, "file"), DroppedRequest)

    def job(
        self,
        request: GenerateRequest,
        *,
        job_id: str,
        order: str,
        source: Literal["http", "file"],
        drop: str | None = None,
        pictures: Mapping[str, JobPicture] = _NO_PICTURES,
    ) -> Job:
        """The job that a valid request asks for, with its effective settings; draws the seed if none was given.

        `pictures` are those that it names, by its fields. Raises InvalidRequest where their size leads beyond a limit.
        """
        key = self._known_model(request.model_id)
        entry = self.catalog.entry(key)
        effective = _effective(request, entry, pictures.get("image"))
        _check_limits(effective, key, entry)
        effective, replaced = limits.keep(effective, entry.limits)
        return Job(
            id=job_id,
            order=order,
            source=source,
            drop=drop,
            model_id=key,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt or None,
            settings=sent_settings(request.settings),
            labels=distinct(request.labels),
            effective_settings=effective,
            image=pictures.get("image"),
            mask=pictures.get("mask"),
            callback_steps=_callback_steps(request.settings, entry),
            warnings=[
                *_ignored(request, key, entry),
                *_replaced(request.settings, replaced, key),
                *_enlarged(effective, key, entry),
            ],
            created_at=timestamp(),
        )

    def _checked(self, document: dict[str, Any], kind: type[Request]) -> Request:
        try:
            request = msgspec.convert(document, kind)
        except msgspec.ValidationError as error:
            fault = explain(error, document, kind, name="a job", narrower=self._expected_by_model(document))
            raise InvalidRequest(fault.sentence, fault.path) from error
        self._check_prompt("prompt", request.prompt)
        if not request.prompt.strip():
            raise InvalidRequest(f"prompt is {shown(request.prompt)}, which is blank; describe the image.", "prompt")
        self._check_prompt("negative_prompt", request.negative_prompt or "")
        key = self._known_model(request.model_id)
        self._require_weights(key)
        check_pictures(request, key, self.catalog)
        self._check_scheduler(request, key)
        _check_limits(_effective(request, self.catalog.entry(key), None), key, self.catalog.entry(key))
        return request

    def _check_prompt(self, field: str, text: str) -> None:
        if len(text) > self._prompt_limit:
            raise InvalidRequest(
                f"{field} has {len(text)} characters; at most {self._prompt_limit} are allowed.", field
            )

    def _known_model(self, name: str) -> str:
        key = self.catalog.key(name)
        if key is None:
            raise InvalidRequest(
                f"model_id is {shown(name)}; it must be one of {', '.join(self.catalog.models)}.", "model_id"
            )
        return key

    def _require_weights(self, key: str) -> None:
        absence = self.catalog.absence(key)
        if absence is None:
            return
        here = ", ".join(self.catalog.available()) or "none"
        hint = _PULL.format(key) if absence == NOT_PULLED else ""
        raise InvalidRequest(f"model_id is {shown(key)}, {absence}; available now: {here}.{hint}", "model_id")

    def _check_scheduler(self, request: GenerateRequest, key: str) -> None:
        name = request.settings.scheduler
        if name is UNSET or name is None:
            return
        known = self.catalog.abilities(key).schedulers_for(has_picture=request.image is not None)
        if name not in known:
            right = f"one of {', '.join(known)}" if known else "left out: this model has only its own"
            raise InvalidRequest(
                f"settings.scheduler is {shown(name)}; for {key} it must be {right}.", "settings.scheduler"
            )

    def _expected_by_model(self, document: dict[str, Any]) -> dict[str, str]:
        """What the model of a request that is not valid allows; empty if it names no model that is known."""
        name = document.get("model_id")
        key = self.catalog.key(name) if isinstance(name, str) else None
        return {} if key is None else limits.expected(self.catalog.entry(key).limits, "settings")


def distinct(labels: list[str]) -> list[str]:
    """Labels in their order, each once."""
    return list(dict.fromkeys(label.strip() for label in labels))


def sent_settings(settings: RequestSettings) -> dict[str, Any]:
    """The settings as they were sent, without those that were not."""
    given: dict[str, Any] = msgspec.to_builtins(settings)
    given.pop("callback", None)
    return given


def _effective(request: GenerateRequest, entry: ModelEntry, image: JobPicture | None) -> EffectiveSettings:
    """The settings as they were sent, completed by the size of the picture to begin from and the model's defaults."""
    values = msgspec.to_builtins(entry.defaults)
    given = {name: value for name, value in sent_settings(request.settings).items() if value is not None}
    values.update({name: value for name, value in given.items() if name in values})
    values["outpaint"] = given.get("outpaint") if has_margins(request) else None
    values["seed"] = _seed(request.settings)
    if request.image is None:
        values["strength"] = None
    elif image is not None:
        values["height"], values["width"] = _size(request, entry, image)
    return msgspec.convert(values, EffectiveSettings)


def _size(request: GenerateRequest, entry: ModelEntry, image: JobPicture) -> tuple[int, int]:
    """Height and width for a picture that begins from `image`: what was sent, the rest in its shape.

    One that is drawn anew as a whole gets no more pixels than the model usually draws; where part of it is kept, it
    keeps its own size if the model allows that.
    """
    sent, defaults, width, height = request.settings, entry.defaults, image.width, image.height
    keeps_part = request.mask is not None or has_margins(request)
    if sent.outpaint is not UNSET and sent.outpaint is not None:
        width, height = sent.outpaint.grown(width, height)
    if sent.width is not UNSET and sent.height is not UNSET:
        return sent.height, sent.width
    if sent.width is not UNSET:
        return entry.limits.shaped_like(
            max(1, round(height * sent.width / width)), sent.width, entry.limits.max_pixels
        )[0], sent.width
    if sent.height is not UNSET:
        return sent.height, entry.limits.shaped_like(
            sent.height, max(1, round(width * sent.height / height)), entry.limits.max_pixels
        )[1]
    return entry.limits.shaped_like(
        height, width, entry.limits.max_pixels if keeps_part else defaults.height * defaults.width
    )


def _seed(settings: RequestSettings) -> int:
    if settings.seed is UNSET or settings.seed is None or settings.seed == -1:
        return secrets.randbelow(_DRAWN_SEEDS)
    return settings.seed


def _callback_steps(settings: RequestSettings, entry: ModelEntry) -> int | None:
    if not entry.capabilities.callback_steps or settings.callback_steps is UNSET:
        return None
    return settings.callback_steps


def _ignored(request: GenerateRequest, key: str, entry: ModelEntry) -> list[str]:
    """Warnings about what was sent and has no effect."""
    found = []
    if request.negative_prompt and not entry.capabilities.negative_prompt:
        found.append(f"negative_prompt is ignored: {key} does not support it.")
    if request.image is None and request.settings.strength not in (UNSET, None):
        found.append("settings.strength is ignored: there is no image to begin from.")
    if request.settings.callback is not UNSET:
        found.append("settings.callback is ignored: a function cannot be sent; poll the status instead.")
    if request.settings.callback_steps not in (UNSET, None) and not entry.capabilities.callback_steps:
        found.append(f"settings.callback_steps is ignored: {key} does not support it.")
    return found


def _replaced(settings: RequestSettings, replaced: list[limits.Violation], key: str) -> list[str]:
    """Warnings about values that were sent and are beyond what the model does."""
    sent = [found for found in replaced if getattr(settings, found.fields[0]) is not UNSET]
    return [f"{found.subject('settings')} is {found.value}; {key} takes {found.right}." for found in sent]


def _enlarged(effective: EffectiveSettings, key: str, entry: ModelEntry) -> list[str]:
    height, width = entry.limits.drawn(effective.height, effective.width)
    if (height, width) == (effective.height, effective.width):
        return []
    return [f"{key} draws this at {width}x{height}; it is then enlarged to {effective.width}x{effective.height}."]


def _check_limits(effective: EffectiveSettings, key: str, entry: ModelEntry) -> None:
    """Compare what was sent, completed by the defaults, with what the model can make."""
    broken = limits.check(effective, entry.limits)
    if broken:
        raise InvalidRequest(
            f"{broken.subject('settings')} is {broken.value}; {key} needs {broken.right}.",
            f"settings.{broken.fields[0]}",
        )
