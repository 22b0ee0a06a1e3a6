"""The memory of this machine as this process may use it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")


def available(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = _CGROUP) -> int:
    """Bytes that can still be had without swapping, within the limit of the control group."""
    free = _field(meminfo, "MemAvailable:")
    limit, used = _number(cgroup / "memory.max"), _number(cgroup / "memory.current")
    if limit is None or used is None:
        return free
    # File pages count as used by the group, but the kernel gives them back on demand.
    used -= min(used, _field(cgroup / "memory.stat", "inactive_file"))
    return max(0, min(free, limit - used))


def total(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = _CGROUP) -> int:
    """Bytes that this process could use if it were alone."""
    limit = _number(cgroup / "memory.max")
    installed = _field(meminfo, "MemTotal:")
    return installed if limit is None else min(installed, limit)


def resident() -> int:
    """Bytes of this process that are in memory."""
    return _field(Path("/proc/self/status"), "VmRSS:")


def _field(path: Path, name: str) -> int:
    """A field of a `name value [kB]` file, in bytes; 0 where it is missing."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for line in lines:
        words = line.split()
        if words and words[0] == name:
            return int(words[1]) * (1024 if words[-1] == "kB" else 1)
    return 0


def _number(path: Path) -> int | None:
    """A file that holds one number; None for `max` or where there is none."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
