"""Logging: one line per record, with the record's context as `key=value`; no text can forge a line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LineFormatter(logging.Formatter):
    """`time LEVEL logger: message key="value"`; a traceback follows on lines of its own, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = f"{moment} {record.levelname} {record.name}: {_one_line(record.getMessage())}"
        context = [f"{key}={_quoted(value)}" for key, value in vars(record).items() if key not in _PLAIN]
        line = " ".join([head, *context])
        if record.exc_info:
            line += "\n    " + self.formatException(record.exc_info).replace("\n", "\n    ")
        return line


def configure(level: str) -> None:
    """Log to stderr from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    for chatty in ("watchdog", "filelock", "urllib3", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n")


def _quoted(value: Any) -> str:
    return json.dumps(value, default=str) if not isinstance(value, (int, float)) else str(value)
