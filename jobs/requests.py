"""From untrusted bytes to a job: the one validator for HTTP bodies and dropped files."""

from __future__ import annotations

import re
import secrets
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET
from msgspec import inspect as inspect_types

from core.errors import InvalidRequest
from core.strict_json import parse_object, shorten, shown
from jobs.catalog import NOT_PULLED, Catalog, Limits, ModelEntry
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
        entry = self.catalog.models[key]
        effective = _effective(request.settings, entry)
        return Job(
            id=job_id,
            order=order,
            source=source,
            drop=drop,
            model_id=key,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt or None,
            settings=sent_settings(request.settings),
            effective_settings=effective,
            callback_steps=_callback_steps(request.settings, entry),
            warnings=_warnings(request, effective, key, entry),
            created_at=timestamp(),
        )

    def _checked(self, document: dict[str, Any], kind: type[Request]) -> Request:
        _require(document, kind)
        try:
            request = msgspec.convert(document, kind)
        except msgspec.ValidationError as error:
            raise _explain(error, document, kind, self._limits_of(document)) from error
        self._check_prompt("prompt", request.prompt)
        if not request.prompt.strip():
            raise InvalidRequest(f"prompt is {shown(request.prompt)}, which is blank; describe the image.", "prompt")
        self._check_prompt("negative_prompt", request.negative_prompt or "")
        key = self._known_model(request.model_id)
        self._require_weights(key)
        _check_limits(request.settings, key, self.catalog.models[key])
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

    def _limits_of(self, document: dict[str, Any]) -> Limits | None:
        """What the model of a request that is not valid can make; None if it names no model that is known."""
        name = document.get("model_id")
        key = self.catalog.key(name) if isinstance(name, str) else None
        return None if key is None else self.catalog.models[key].limits


def sent_settings(settings: RequestSettings) -> dict[str, Any]:
    """The settings as they were sent, without those that were not."""
    given: dict[str, Any] = msgspec.to_builtins(settings)
    given.pop("callback", None)
    return given


def _require(document: dict[str, Any], kind: Any) -> None:
    missing = [name for name in ("model_id", "prompt") if name not in document]
    unknown = [shorten(name) for name in document if name not in kind.__struct_fields__]
    if missing:
        hint = f" Not known here: {', '.join(unknown[:5])}." if unknown else ""  # most likely a typing error
        raise InvalidRequest(f"Missing required fields: {', '.join(missing)}.{hint}", missing[0])


def _effective(settings: RequestSettings, entry: ModelEntry) -> EffectiveSettings:
    values = msgspec.to_builtins(entry.defaults)
    given = sent_settings(settings)
    values.update({name: value for name, value in given.items() if name in values})
    values["max_sequence_length"] = min(values["max_sequence_length"], entry.limits.max_sequence_length)
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


def _warnings(request: GenerateRequest, effective: EffectiveSettings, key: str, entry: ModelEntry) -> list[str]:
    found = []
    if request.negative_prompt and not entry.capabilities.negative_prompt:
        found.append(f"negative_prompt is ignored: {key} does not support it.")
    if request.settings.callback is not UNSET:
        found.append("settings.callback is ignored: a function cannot be sent; poll the status instead.")
    if request.settings.callback_steps not in (UNSET, None) and not entry.capabilities.callback_steps:
        found.append(f"settings.callback_steps is ignored: {key} does not support it.")
    return [*found, *_limit_warnings(request.settings, effective, key, entry)]


def _limit_warnings(settings: RequestSettings, effective: EffectiveSettings, key: str, entry: ModelEntry) -> list[str]:
    """What the model does otherwise than asked, without refusing it: how large it draws, how much it reads."""
    found = []
    asked = settings.max_sequence_length
    if asked is not UNSET and asked > effective.max_sequence_length:
        found.append(
            f"settings.max_sequence_length is {asked}; {key} reads at most {effective.max_sequence_length} tokens."
        )
    height, width = entry.limits.drawn(effective.height, effective.width)
    if (height, width) != (effective.height, effective.width):
        found.append(
            f"{key} draws this at {width}x{height}; it is then enlarged to {effective.width}x{effective.height}."
        )
    return found


def _check_limits(settings: RequestSettings, key: str, entry: ModelEntry) -> None:
    """Compare what was sent with what the model can make."""
    limits = entry.limits
    _check_most(settings.num_inference_steps, "num_inference_steps", 1, limits.max_steps, key)
    _check_most(settings.guidance_scale, "guidance_scale", 0, limits.max_guidance_scale, key)
    height = _given(settings.height, entry.defaults.height)
    width = _given(settings.width, entry.defaults.width)
    for field, side in (("height", height), ("width", width)):
        if not limits.min_side <= side <= limits.max_side or side % limits.size_multiple:
            raise InvalidRequest(
                f"settings.{field} is {side}; {key} needs a multiple of {limits.size_multiple} "
                f"from {limits.min_side} to {limits.max_side}.",
                f"settings.{field}",
            )
    if height * width > limits.max_pixels:
        raise InvalidRequest(
            f"settings.width x settings.height is {width}x{height}; {key} can make at most {limits.max_pixels} pixels.",
            "settings.width",
        )


def _given(value: int | msgspec.UnsetType, default: int) -> int:
    return default if value is UNSET else value


def _check_most(value: float | msgspec.UnsetType, field: str, least: float, most: float, key: str) -> None:
    if value is not UNSET and value > most:
        raise InvalidRequest(
            f"settings.{field} is {value:.10g}; {key} allows {least:g} to {most:g}.", f"settings.{field}"
        )


# --- Sentences for what msgspec finds -------------------------------------------------------------

_PATH: Final = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


def _explain(
    error: msgspec.ValidationError, document: dict[str, Any], kind: type, limits: Limits | None
) -> InvalidRequest:
    """A sentence with the field, its value and what would be right."""
    text = str(error)
    match = _PATH.search(text)
    path = match["path"] if match else ""
    if text.startswith("Object contains unknown field"):
        return _unknown_field(document, path, kind)
    expected = _expected_by(limits, path) or _expected(kind, path)
    return InvalidRequest(f"{path} is {shown(_value(document, path))}; it must be {expected}.", path)


def _unknown_field(document: dict[str, Any], path: str, kind: type) -> InvalidRequest:
    owner: Any = RequestSettings if path == "settings" else kind
    name = next(key for key in (_value(document, path) if path else document) if key not in owner.__struct_fields__)
    where = f"{path}.{shorten(name)}" if path else shorten(name)
    known = ", ".join(owner.__struct_fields__)
    return InvalidRequest(f"{where} is not a known field; {path or 'a job'} may have: {known}.", where)


def _value(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _expected_by(limits: Limits | None, path: str) -> str | None:
    """What the field at `path` may be for the model; None where the model does not say more than the type."""
    if limits is None:
        return None
    sides = f"a multiple of {limits.size_multiple} from {limits.min_side} to {limits.max_side}"
    return {
        "settings.height": sides,
        "settings.width": sides,
        "settings.num_inference_steps": f"a whole number from 1 to {limits.max_steps}",
        "settings.guidance_scale": f"a number from 0 to {limits.max_guidance_scale:g}",
    }.get(path)


def _expected(kind: type, path: str) -> str:
    """What the field at `path` may be, in words, from its declared type."""
    described: Any = inspect_types.type_info(kind)
    for name in path.split("."):
        described = next(item for item in described.fields if item.encode_name == name).type
        described = _significant(described)
    return _in_words(described)


def _significant(described: Any) -> Any:
    """The part of a union that a client should send."""
    options = getattr(described, "types", (described,))
    plain = [_unwrapped(option) for option in options]
    return next(option for option in plain if not isinstance(option, inspect_types.NoneType))


def _unwrapped(described: Any) -> Any:
    return described.type if isinstance(described, inspect_types.Metadata) else described


def _in_words(described: Any) -> str:
    match described:
        case inspect_types.IntType():
            return f"a whole number from {described.ge} to {described.le}"
        case inspect_types.FloatType():
            return f"a number from {described.ge:g} to {described.le:g}"
        case inspect_types.StrType(pattern=str()):
            return "a name of 1 to 64 letters, digits, - and _"
        case inspect_types.StrType():
            return "a text that is not empty" if described.min_length else "a text"
        case _:
            return "an object"
