"""Named points at which a test may kill the process, to prove that every crash is survivable.

Set `CYBERIMAGE_CRASH_AT=N` and the process ends with SIGKILL at the Nth point that it passes;
`CYBERIMAGE_CRASH_LOG=file` records the names passed. Without these variables a point costs one comparison.
"""

from __future__ import annotations

import os
import signal

_limit = int(os.environ.get("CYBERIMAGE_CRASH_AT", "0"))
_log = os.environ.get("CYBERIMAGE_CRASH_LOG", "")
_armed = bool(_limit or _log)
_passed = 0


def point(name: str) -> None:
    """Pass the point `name`; die here if the harness asked for it."""
    if _armed:
        _pass_armed(name)


def _pass_armed(name: str) -> None:
    global _passed
    _passed += 1
    if _log:
        with open(_log, "a", encoding="utf-8") as stream:
            stream.write(f"{_passed} {name}\n")
    if _passed == _limit:
        os.kill(os.getpid(), signal.SIGKILL)
