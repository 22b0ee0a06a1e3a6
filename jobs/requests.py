"""From untrusted bytes to a job: the one validator for HTTP bodies and dropped files."""

from __future__ import annotations

import secrets
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
from jobs.schema import DroppedRequest, EffectiveSettings, GenerateRequest, Job, RequestSettings

_PULL: Final = " The operator can fetch them with: python -m runner.models pull {}"
#: Seeds drawn by us stay below 2**32: easy to read aloud, and safe in JavaScript clients.
_DRAWN_SEEDS: Final = 2**32


Request = TypeVar("Request", bound=GenerateRequest)


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
    ) -> Job:
        """The job that a valid request asks for, with its effective settings; draws the seed if none was given."""
        key = self._known_model(request.model_id)
        entry = self.catalog.entry(key)
        effective, replaced = limits.keep(_effective(request.settings, entry), entry.limits)
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
        _check_limits(request.settings, key, self.catalog.entry(key))
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


def _effective(settings: RequestSettings, entry: ModelEntry) -> EffectiveSettings:
    values = msgspec.to_builtins(entry.defaults)
    given = sent_settings(settings)
    values.update({name: value for name, value in given.items() if name in values})
    values["seed"] = _seed(settings)
    return msgspec.convert(values, EffectiveSettings)


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


def _check_limits(settings: RequestSettings, key: str, entry: ModelEntry) -> None:
    """Compare what was sent, completed by the defaults, with what the model can make."""
    broken = limits.check(_effective(settings, entry), entry.limits)
    if broken:
        raise InvalidRequest(
            f"{broken.subject('settings')} is {broken.value}; {key} needs {broken.right}.",
            f"settings.{broken.fields[0]}",
        )
