"""Every setting, read from the environment once, with its meaning beside it.

The README's table is made from the same fields (`python -m core.settings` prints it; a test compares).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from core import hosts
from core.errors import SettingsError

_UNITS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """At most `amount` accepted requests within `seconds`, per client."""

    amount: int
    seconds: int


def _text(value: str) -> str:
    return value


def _host(value: str) -> str:
    return hosts.split(value)[0] if value.startswith("[") else value


def _secret(value: str) -> str:
    return value


def _path(value: str) -> Path:
    return Path(value).expanduser()


def _optional_path(value: str) -> Path | None:
    return _path(value) if value else None


def _boolean(value: str) -> bool:
    words = {"on": True, "1": True, "true": True, "yes": True, "off": False, "0": False, "false": False, "no": False}
    if value.lower() not in words:
        raise ValueError("must be on or off")
    return words[value.lower()]


def _integer(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit()) or not minimum <= int(value) <= maximum:
            raise ValueError(f"must be a whole number from {minimum} to {maximum}")
        return int(value)

    return parse


def _seconds(minimum: float) -> Callable[[str], float]:
    def parse(value: str) -> float:
        if not re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII) or not minimum <= float(value) < math.inf:
            raise ValueError(f"must be a number of seconds, at least {minimum:g}")
        return float(value)

    return parse


def _delays(value: str) -> tuple[float, ...]:
    parse = _seconds(0)
    try:
        return tuple(parse(part.strip()) for part in value.split(","))
    except ValueError as error:
        raise ValueError("must be numbers of seconds, each at least 0, separated by commas, like 0,30,120") from error


def _rate(value: str) -> RateLimit | None:
    if value == "off":
        return None
    match = re.fullmatch(r"([1-9]\d{0,6})/(second|minute|hour|day)", value, re.ASCII)
    if not match:
        raise ValueError("must be like 10/hour (second, minute, hour or day), or off")
    return RateLimit(amount=int(match[1]), seconds=_UNITS[match[2]])


def _words(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _choice(*options: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() not in options:
            raise ValueError(f"must be one of {', '.join(options)}")
        return value.lower()

    return parse


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:(0|[1-9]\d{0,2}))?", value.lower(), re.ASCII):
        raise ValueError("must be auto, cpu, cuda or cuda:N (as cuda:0)")
    return value.lower()


def _setting(name: str, default: str, parse: Callable[[str], Any], about: str) -> Any:
    """A field read from the variable `name`; `default` is written as it would be in the environment."""
    return field(
        default_factory=lambda: parse(default),
        repr=parse is not _secret,
        metadata={"name": name, "default": default, "parse": parse, "about": about},
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator may choose. Both programs read the same variables."""

    data: Path = _setting("CYBERIMAGE_DATA", "./var", _path, "The data directory: spool, outputs and indexes.")
    create_data: bool = _setting(
        "CYBERIMAGE_CREATE_DATA",
        "off",
        _boolean,
        "Make a data directory even where an empty folder (perhaps an unmounted volume) lies.",
    )
    catalog: Path = _setting("CYBERIMAGE_CATALOG", "./models.toml", _path, "The model catalog.")
    models: Path = _setting("CYBERIMAGE_MODELS", "./models", _path, "The folder that holds pulled model weights.")
    host: str = _setting("CYBERIMAGE_HOST", "127.0.0.1", _host, "The address that the API binds.")
    port: int = _setting("PORT", "5050", _integer(1, 65535), "The port of the API.")
    web_workers: int = _setting("CYBERIMAGE_WEB_WORKERS", "2", _integer(1, 64), "gunicorn worker processes.")
    rate_limit: RateLimit | None = _setting(
        "CYBERIMAGE_RATE_LIMIT",
        "10/hour",
        _rate,
        "Accepted jobs per client address (N/second, minute, hour or day), or `off`.",
    )
    trusted_proxies: int = _setting(
        "CYBERIMAGE_TRUSTED_PROXIES",
        "0",
        _integer(0, 10),
        "How many proxies of yours stand before the API; the client is then the nth address from the right "
        "of X-Forwarded-For.",
    )
    prompt_limit: int = _setting(
        "CYBERIMAGE_PROMPT_LIMIT", "500", _integer(1, 20000), "The longest prompt and negative prompt, in characters."
    )
    api_keys: Path | None = _setting(
        "CYBERIMAGE_API_KEYS",
        "",
        _optional_path,
        "File of hashed API keys (`python -m http_api.access NAME SCOPES` makes one); empty: no key is needed.",
    )
    allow_open: bool = _setting(
        "CYBERIMAGE_ALLOW_OPEN", "off", _boolean, "Serve other machines although no key is needed."
    )
    allowed_hosts: tuple[str, ...] = _setting(
        "CYBERIMAGE_ALLOWED_HOSTS",
        "",
        _words,
        "The only host names to answer for, parted by commas. Empty: this machine's own names (localhost, 127.0.0.1, "
        "::1) where the API binds such an address and CYBERIMAGE_TRUSTED_PROXIES is 0, else any.",
    )
    max_pending: int = _setting(
        "CYBERIMAGE_MAX_PENDING", "10000", _integer(1, 10_000_000), "Pending jobs before the API answers 503."
    )
    reserve_megabytes: int = _setting(
        "CYBERIMAGE_RESERVE_MB", "512", _integer(0, 1_000_000), "Free disk space (MiB) that is never used up."
    )
    max_attempts: int = _setting(
        "CYBERIMAGE_MAX_ATTEMPTS", "3", _integer(1, 100), "Starts of a job before a crashing job is given up."
    )
    retry_delays: tuple[float, ...] = _setting(
        "CYBERIMAGE_RETRY_DELAYS", "0,30,120", _delays, "Seconds before the second, third, ... attempt after a crash."
    )
    device: str = _setting("CYBERIMAGE_DEVICE", "auto", _device, "`auto`, `cpu`, `cuda` or `cuda:N`.")
    idle_seconds: float = _setting(
        "CYBERIMAGE_IDLE_SECONDS", "300", _seconds(0), "Idle time after which the worker exits and frees the device."
    )
    stall_seconds: float = _setting(
        "CYBERIMAGE_STALL_SECONDS", "300", _seconds(1), "Time without a step after which a worker is killed."
    )
    load_seconds: float = _setting(
        "CYBERIMAGE_LOAD_SECONDS", "1800", _seconds(1), "Time that loading a model may take."
    )
    scan_seconds: float = _setting(
        "CYBERIMAGE_SCAN_SECONDS", "2", _seconds(0.05), "How often the spool is scanned, whatever events say."
    )
    quiet_seconds: float = _setting(
        "CYBERIMAGE_QUIET_SECONDS", "30", _seconds(0), "How long a broken drop must lie unchanged to be refused."
    )
    watch: bool = _setting("CYBERIMAGE_WATCH", "on", _boolean, "Use file events; `off` relies on the scan alone.")
    look_ahead: int = _setting(
        "CYBERIMAGE_LOOK_AHEAD", "0", _integer(0, 1000), "How many jobs may overtake an older one to keep a model warm."
    )
    previews: bool = _setting(
        "CYBERIMAGE_PREVIEWS",
        "on",
        _boolean,
        "Show how the image in hand looks so far; takes at most 2 % of the time of its steps.",
    )
    embed_metadata: bool = _setting(
        "CYBERIMAGE_EMBED_METADATA", "on", _boolean, "Write prompt and settings into the PNG."
    )
    log_level: str = _setting(
        "CYBERIMAGE_LOG_LEVEL", "info", _choice("debug", "info", "warning", "error"), "How much is logged."
    )
    log_prompts: bool = _setting("CYBERIMAGE_LOG_PROMPTS", "off", _boolean, "Whether prompts appear in logs.")
    openai_endpoint: str = _setting(
        "OPENAI_ENDPOINT", "", _text, "Base URL of an OpenAI-compatible server for /enrich; empty: built-in enricher."
    )
    openai_api_key: str = _setting("OPENAI_API_KEY", "", _secret, "Its key; may be empty for a local server.")
    openai_model: str = _setting("OPENAI_MODEL", "", _text, "Its model.")
    openai_timeout: float = _setting("OPENAI_TIMEOUT", "15", _seconds(0.1), "Seconds to wait for its answer.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; raises SettingsError naming the variable, its value and what would be right."""
        environment = os.environ if environment is None else environment
        given = {
            item.name: _parse(item.metadata, environment[item.metadata["name"]])
            for item in fields(cls)
            if item.metadata["name"] in environment
        }
        return cls(**given)


def _parse(metadata: Mapping[str, Any], value: str) -> Any:
    try:
        return metadata["parse"](value.strip())
    except ValueError as error:
        shown = "(a secret)" if metadata["parse"] is _secret else repr(value)
        raise SettingsError(f"{metadata['name']} is {shown}; it {error}.") from error


def table() -> str:
    """The settings as a Markdown table."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for item in fields(Settings):
        default = f"`{item.metadata['default']}`" if item.metadata["default"] else "(empty)"
        rows.append(f"| `{item.metadata['name']}` | {default} | {item.metadata['about']} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())  # noqa: T201
