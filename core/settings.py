"""Every setting, read from the environment once, with its meaning beside it.

The README's table is made from the same fields (`python -m core.settings` prints it; a test compares).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from core import setting_types as types
from core.errors import SettingsError

#: So much of a value a sentence about it shows.
_SHOWN: Final = 500
_UNITS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """At most `amount` accepted requests within `seconds`, per client; with `others_only` this machine has no limit."""

    amount: int
    seconds: int
    others_only: bool = False


def _rate(value: str) -> RateLimit | None:
    if value.strip() == "off":
        return None
    match = re.fullmatch(r"(others:)?([1-9]\d{0,6})/(second|minute|hour|day)", value.strip(), re.ASCII)
    if not match:
        raise ValueError("must be like 10/hour or others:10/hour (second, minute, hour or day), or off")
    return RateLimit(amount=int(match[2]), seconds=_UNITS[match[3]], others_only=match[1] is not None)


def _setting(name: str, default: str, parse: Callable[[str], Any], about: str) -> Any:
    """A field read from the variable `name`; `default` is written as it would be in the environment."""
    return field(
        default_factory=lambda: parse(default),
        repr=parse is not types.secret,
        metadata={"name": name, "default": default, "parse": parse, "about": about},
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator may choose. Both programs read the same variables."""

    data: Path = _setting("CYBERIMAGE_DATA", "./var", types.path, "The data directory: spool, outputs and indexes.")
    create_data: bool = _setting(
        "CYBERIMAGE_CREATE_DATA",
        "off",
        types.boolean,
        "Make a data directory even where an empty folder (perhaps an unmounted volume) lies.",
    )
    catalog: Path = _setting("CYBERIMAGE_CATALOG", "./models.toml", types.path, "The model catalog.")
    models: Path = _setting("CYBERIMAGE_MODELS", "./models", types.path, "The folder that holds pulled model weights.")
    host: str = _setting("CYBERIMAGE_HOST", "127.0.0.1", types.host, "The address that the API binds.")
    port: int = _setting("PORT", "5050", types.integer(1, 65535), "The port of the API.")
    web_workers: int = _setting("CYBERIMAGE_WEB_WORKERS", "2", types.integer(1, 64), "gunicorn worker processes.")
    rate_limit: RateLimit | None = _setting(
        "CYBERIMAGE_RATE_LIMIT",
        "others:10/hour",
        _rate,
        "Accepted jobs per client address (N/second, minute, hour or day), or `off`; with `others:` requests from this "
        "machine that come through no proxy are not limited. As many prompts may be sent on to OPENAI_ENDPOINT.",
    )
    trusted_proxies: int = _setting(
        "CYBERIMAGE_TRUSTED_PROXIES",
        "0",
        types.integer(0, 10),
        "How many proxies of yours stand before the API; the client is then the nth address from the right "
        "of X-Forwarded-For.",
    )
    prompt_limit: int = _setting(
        "CYBERIMAGE_PROMPT_LIMIT",
        "500",
        types.integer(1, 20000),
        "The longest prompt and negative prompt, in characters.",
    )
    api_keys: Path | None = _setting(
        "CYBERIMAGE_API_KEYS",
        "",
        types.optional_path,
        "File of hashed API keys (`python -m http_api.access NAME SCOPES` makes one); empty: no key is needed.",
    )
    allow_open: bool = _setting(
        "CYBERIMAGE_ALLOW_OPEN", "off", types.boolean, "Serve other machines although no key is needed."
    )
    allowed_hosts: tuple[str, ...] = _setting(
        "CYBERIMAGE_ALLOWED_HOSTS",
        "",
        types.host_list,
        "The only host names to answer for, comma-separated. Empty: this machine's own names (localhost, 127.0.0.1, "
        "::1) where the API binds such an address and CYBERIMAGE_TRUSTED_PROXIES is 0, else any.",
    )
    allowed_origins: tuple[str, ...] = _setting(
        "CYBERIMAGE_ALLOWED_ORIGINS",
        "",
        types.origins,
        "Web sites whose pages may use the API from a browser, comma-separated, as https://chat.example. "
        "Empty: none but its own.",
    )
    openai_names: bool = _setting(
        "CYBERIMAGE_OPENAI_NAMES",
        "on",
        types.boolean,
        "Draw with the default model what clients of /v1 want drawn by OpenAI's models (gpt-image-*, dall-e-*); "
        "`off` refuses it.",
    )
    max_pending: int = _setting(
        "CYBERIMAGE_MAX_PENDING", "10000", types.integer(1, 10_000_000), "Pending jobs before the API answers 503."
    )
    reserve_megabytes: int = _setting(
        "CYBERIMAGE_RESERVE_MB", "512", types.integer(0, 1_000_000), "Free disk space (MiB) that is never used up."
    )
    max_attempts: int = _setting(
        "CYBERIMAGE_MAX_ATTEMPTS", "3", types.integer(1, 100), "Starts of a job before a crashing job is given up."
    )
    retry_delays: tuple[float, ...] = _setting(
        "CYBERIMAGE_RETRY_DELAYS",
        "0,30,120",
        types.delays,
        "Seconds before the second, third, ... attempt after a crash.",
    )
    devices: tuple[str, ...] = _setting(
        "CYBERIMAGE_DEVICE",
        "auto",
        types.devices,
        "`auto`, `cpu`, `cuda` or `cuda:N`; or several, comma-separated (`cuda:0,cuda:1`), each with a worker.",
    )
    idle_seconds: float = _setting(
        "CYBERIMAGE_IDLE_SECONDS",
        "300",
        types.seconds(0),
        "Idle time after which the worker exits and frees the device.",
    )
    stall_seconds: float = _setting(
        "CYBERIMAGE_STALL_SECONDS", "300", types.seconds(1), "Time without a step after which a worker is killed."
    )
    load_seconds: float = _setting(
        "CYBERIMAGE_LOAD_SECONDS", "1800", types.seconds(1), "Time that loading a model may take."
    )
    scan_seconds: float = _setting(
        "CYBERIMAGE_SCAN_SECONDS", "2", types.seconds(0.05), "How often the spool is scanned, whatever events say."
    )
    quiet_seconds: float = _setting(
        "CYBERIMAGE_QUIET_SECONDS", "30", types.seconds(0), "How long a broken drop must lie unchanged to be refused."
    )
    watch: bool = _setting("CYBERIMAGE_WATCH", "on", types.boolean, "Use file events; `off` relies on the scan alone.")
    look_ahead: int = _setting(
        "CYBERIMAGE_LOOK_AHEAD",
        "0",
        types.integer(0, 1000),
        "How many jobs may overtake an older one to keep a model warm.",
    )
    previews: bool = _setting(
        "CYBERIMAGE_PREVIEWS",
        "on",
        types.boolean,
        "Show how the current image looks so far; takes at most 2 % of the time of its steps on a GPU, 10 % on a CPU.",
    )
    embed_metadata: bool = _setting(
        "CYBERIMAGE_EMBED_METADATA", "on", types.boolean, "Write prompt and settings into the PNG."
    )
    log_level: str = _setting(
        "CYBERIMAGE_LOG_LEVEL", "info", types.choice("debug", "info", "warning", "error"), "How much is logged."
    )
    log_prompts: bool = _setting("CYBERIMAGE_LOG_PROMPTS", "off", types.boolean, "Whether prompts appear in logs.")
    openai_endpoint: str = _setting(
        "OPENAI_ENDPOINT",
        "",
        types.base_url,
        "Base URL of an OpenAI-compatible server for /enrich; empty: built-in enricher.",
    )
    openai_api_key: str = _setting("OPENAI_API_KEY", "", types.secret, "Its key; may be empty for a local server.")
    openai_model: str = _setting("OPENAI_MODEL", "", types.text, "Its model.")
    openai_timeout: float = _setting("OPENAI_TIMEOUT", "15", types.seconds(0.1), "Seconds to wait for its answer.")

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
    """The value of a setting; empty is the default where that is empty as well, as in `NAME=` of an env file."""
    try:
        types.check_text(value)
        return metadata["parse"](value if value.strip() or metadata["default"] else "")
    except ValueError as error:
        is_secret = metadata["parse"] is types.secret or isinstance(error, types.Unshowable)
        shown = "(a secret)" if is_secret else repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...")
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
