"""Logging: one line per record, with the record's context as `key=value`; no text can forge a line.

Prompts reach a record only as the context fields of PROMPTS. Unless the operator wants to see them, the formatter
leaves these out, and takes their words out of the record's traceback; loggers of libraries that quote prompts are
silenced.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

#: The fields of a record's context that hold what somebody wants to see drawn.
PROMPTS: Final = ("prompt", "negative_prompt")
#: These print the end of a prompt that is too long; what they say about loading is harmless.
_QUOTING: Final = ("diffusers.pipelines", "transformers.tokenization_utils_base")
_NOT_QUOTING: Final = ("diffusers.pipelines.pipeline_utils", "diffusers.pipelines.pipeline_loading_utils")
#: Shorter words say nothing, and taking them out would leave no traceback.
_SHORTEST: Final = 3
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LineFormatter(logging.Formatter):
    """`time LEVEL logger: message key="value"`; a traceback follows on lines of its own, indented."""

    def __init__(self, *, show_prompts: bool = False) -> None:
        super().__init__()
        self._show_prompts = show_prompts

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = f"{moment} {record.levelname} {record.name}: {_one_line(record.getMessage())}"
        left_out = _PLAIN if self._show_prompts else _PLAIN.union(PROMPTS)
        context = [f"{key}={_quoted(value)}" for key, value in vars(record).items() if key not in left_out]
        line = " ".join([head, *context])
        if record.exc_info:
            line += "\n    " + self._traceback(record).replace("\n", "\n    ")
        return line

    def _traceback(self, record: logging.LogRecord) -> str:
        text = self.formatException(record.exc_info) if record.exc_info else ""
        prompts = [getattr(record, name, None) or "" for name in PROMPTS]
        return text if self._show_prompts else _without_words(text, prompts)


def configure(level: str, *, show_prompts: bool) -> None:
    """Log to stderr from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(show_prompts=show_prompts))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    for chatty in ("watchdog", "filelock", "urllib3", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for name in _QUOTING:
        logging.getLogger(name).setLevel(logging.NOTSET if show_prompts else logging.ERROR)
    for name in _NOT_QUOTING:
        logging.getLogger(name).setLevel(logging.WARNING)


def _without_words(text: str, sources: Iterable[str]) -> str:
    """A text with every word of the sources replaced, whole sources first."""
    hidden = {source for source in sources if len(source.strip()) >= _SHORTEST}
    words = sorted({word for source in hidden for word in re.findall(r"\w{3,}|[^\W\x00-\x7f]", source)}, key=len)
    pattern = "|".join(
        rf"(?<!\w){re.escape(word)}(?!\w)" if word.isascii() else re.escape(word) for word in words[::-1]
    )
    for source in hidden:
        text = text.replace(source, "[prompt]")
    return re.sub(pattern, "[...]", text, flags=re.IGNORECASE) if pattern else text


def _one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n")


def _quoted(value: Any) -> str:
    return json.dumps(value, default=str) if not isinstance(value, (int, float)) else str(value)
