"""JSON as strangers send it, read without surprises.

The standard parser accepts NaN, infinite numbers, duplicate keys (the last wins), lone surrogates and
UTF-16, and answers deep nesting with RecursionError. All of these are refused here, with a sentence.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any, Final, Self

from core.errors import InvalidRequest

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
#: The largest request body or dropped file, in bytes.
SIZE_LIMIT: Final = 64 * 1024


_LARGEST_INTEGER: Final = 2**63
#: How much of a name or a value a sentence about it shows.
_SHOWN: Final = 80


def shorten(text: str) -> str:
    """At most 80 characters of a text, for a sentence about it."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def shown(value: Any) -> str:
    """A value as JSON, for a sentence about it."""
    return shorten(json.dumps(value, ensure_ascii=False, default=str))


def parse_object(raw: bytes, subject: str = "body") -> dict[str, Any]:
    """The JSON object in `raw`; raises InvalidRequest saying what is wrong with the `subject` (body, file)."""
    text = _decode(raw, subject)
    try:
        document = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_NotFinite, parse_float=_number)
        if isinstance(document, dict):
            _refuse_odd(document, "")
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"The {subject} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    except RecursionError as error:
        raise InvalidRequest("The JSON is nested too deeply; a job needs two levels.") from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise InvalidRequest("The JSON holds a number of thousands of digits; send a shorter one.") from error
    if not isinstance(document, dict):
        raise InvalidRequest(f'The {subject} must be a JSON object, like {{"prompt": "..."}}, not {_kind(document)}.')
    return document


def is_incomplete(raw: bytes) -> bool:
    """Whether `raw` does not parse yet but may do so once more of it is written."""
    try:
        json.loads(raw.decode("utf-8-sig", errors="strict"))
    except UnicodeDecodeError as error:
        return error.end >= len(raw)
    except json.JSONDecodeError:
        return True
    except (ValueError, RecursionError):  # a number of too many digits, too many brackets: more text does not mend it
        return False
    return False


def _decode(raw: bytes, subject: str) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The {subject} is not UTF-8: byte {error.start} is {raw[error.start]:#04x}.") from error
    if not text.strip():
        raise InvalidRequest(f"The {subject} is empty; it must be a JSON object.")
    return text


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        _refuse_odd_text(key, "A key", "")
        if key in result:
            raise InvalidRequest(f"The key {shorten(key)!r} appears twice; send it once.", key)
        result[key] = value
    return result


def _refuse_odd(value: object, path: str) -> None:
    """Raise InvalidRequest for a text or a number that is none, however deep in `value` it lies."""
    match value:
        case dict():
            for key, inner in value.items():
                _refuse_odd(inner, f"{path}.{key}" if path else key)
        case list():
            for inner in value:
                _refuse_odd(inner, path)
        case str():
            _refuse_odd_text(value, path, path)
        case _NotFinite():
            raise InvalidRequest(f"{shorten(path)} is {value.text}; it must be a finite number.", path)


def _refuse_odd_text(text: str, name: str, field: str) -> None:
    if "\x00" in text:
        raise InvalidRequest(f"{shorten(name)} contains a NUL character; remove it.", field)
    if _SURROGATE.search(text):
        raise InvalidRequest(f"{shorten(name)} contains half of a surrogate pair, which is not text; remove it.", field)


class _NotFinite(float):
    """NaN, an infinity, or a number too large for a float, as it was written."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Of the literal."""
        number = super().__new__(cls, text)
        number.text = shorten(text)
        return number


def _number(digits: str) -> float:
    """A number with a dot or an exponent; without a fraction (512.0, 1e3) it is an integer, to the last digit."""
    number = float(digits)
    if not math.isfinite(number):
        return _NotFinite(digits)
    if abs(number) > _LARGEST_INTEGER:  # every field refuses it, and shows it as it was sent
        return number
    exact = Decimal(digits)
    return int(exact) if exact == exact.to_integral_value() else number


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
