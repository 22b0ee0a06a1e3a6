"""Named failpoints, at which a test may kill the process, to prove that every crash is survivable.

Set `CYBERIMAGE_CRASH_AT=N` and the process ends with SIGKILL at the Nth point that it passes;
`CYBERIMAGE_CRASH_LOG=file` records the names passed. Without these variables a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


_limit = int(os.environ.get("CYBERIMAGE_CRASH_AT", "0"))
_log = os.environ.get("CYBERIMAGE_CRASH_LOG", "")
_armed = bool(_limit or _log)
_crash = _die
_passed: list[str] = []


def failpoint(name: str) -> None:
    """Pass the failpoint `name`; die here if the harness asked for it."""
    if _armed:
        _pass_armed(name)


def arm(limit: int, crash: Callable[[], None] = _die) -> None:
    """Call `crash` at the `limit`th point from now on; 0 only counts. For a harness inside the process."""
    global _armed, _limit, _crash
    _armed, _limit, _crash = True, limit, crash
    _passed.clear()


def passed() -> list[str]:
    """The names passed since the process was armed."""
    return list(_passed)


def _pass_armed(name: str) -> None:
    _passed.append(name)
    if _log:
        with open(_log, "a", encoding="utf-8") as stream:
            stream.write(f"{len(_passed)} {name}\n")
    if len(_passed) == _limit:
        _crash()
