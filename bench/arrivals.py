"""Time from a job file renamed into place to its claim, in another process; one arrival each 10 ms.

    python -m bench.arrivals intake|inotify FOLDER

is the other process: it claims what arrives and prints `<id> <monotonic ns>` for each.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.generate_data import Generator
from jobs.catalog import Catalog
from jobs.claims import claim
from jobs.drops import Adopter
from jobs.requests import RequestValidator
from jobs.schema import State, encode
from jobs.settings import Settings
from jobs.spool import Spool

REPOSITORY = Path(__file__).resolve().parent.parent
_SPACING = 0.01


@dataclass
class Found:
    """Latencies in milliseconds."""

    times: list[float] = field(default_factory=list)

    def add(self, more: list[float]) -> None:
        """Take in those of a further run."""
        self.times += more

    @property
    def p50(self) -> float:
        """The median."""
        return sorted(self.times)[len(self.times) // 2]

    @property
    def p99(self) -> float:
        """The time that one in a hundred exceeds."""
        return sorted(self.times)[min(len(self.times) - 1, len(self.times) * 99 // 100)]

    def summary(self) -> dict[str, float]:
        """For the JSON."""
        return {"p50_ms": self.p50, "p99_ms": self.p99, "max_ms": max(self.times), "samples": len(self.times)}


def measure(kind: str, folder: Path, amount: int) -> list[float]:
    """Latencies (ms) of so many arrivals."""
    spool = Spool(folder)
    spool.prepare(create_anyway=True)
    with _Claimer(kind, folder) as claimer:
        arrived = _arrive(spool, amount)
        assert claimer.stdout is not None
        claimed = dict(claimer.stdout.readline().split() for _ in range(amount))
    return [(int(claimed[job_id]) - moment) / 1e6 for job_id, moment in arrived.items()]


def _arrive(spool: Spool, amount: int) -> dict[str, int]:
    """Rename job files into `pending/` and ring; answers when (ns). Not synced: the disk is not measured here."""
    generator = Generator(spool.data)
    arrived = {}
    following = time.monotonic() + 0.2
    for _ in range(amount):
        job = generator._job(spool.clock.issue(), "a castle")
        draft = spool.temporary / f"{os.getpid()}-arrival"
        draft.write_bytes(encode(job))
        time.sleep(max(0.0, following - time.monotonic()))
        following += _SPACING
        arrived[job.id] = time.monotonic_ns()
        os.rename(draft, spool.path(State.PENDING, job.id))
        spool.ring()
    return arrived


def idle_share(folder: Path, seconds: float) -> float:
    """The part of a core that an intake uses when nothing happens."""
    spool = Spool(folder)
    spool.prepare(create_anyway=True)
    with _Claimer("intake", folder) as claimer:
        before = _cpu_seconds(claimer.pid)
        time.sleep(seconds)
        return (_cpu_seconds(claimer.pid) - before) / seconds


def _cpu_seconds(pid: int) -> float:
    parts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


class _Claimer:
    """The other process, ready."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._command = [sys.executable, "-m", "bench.arrivals", kind, str(folder)]

    def __enter__(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(self._command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the claiming process did not start")
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


# --- The other process ------------------------------------------------------------------------


def _claim_by_intake(data: Path) -> None:
    """As the supervisor does it: bell, order, claim."""
    from runner.intake import Intake
    from runner.wake import WakePipe

    settings = Settings.from_environment({"CYBERIMAGE_DATA": str(data)})
    spool = Spool(data)
    catalog = Catalog.load(REPOSITORY / "models.toml", REPOSITORY / "models")
    wake = WakePipe()
    adopter = Adopter(spool, RequestValidator(catalog, prompt_limit=500), quiet_seconds=30)
    intake = Intake(settings, spool, adopter, wake)
    intake.scan_if_due()
    _say("ready")
    while True:
        select.select([wake], [], [], intake.seconds_to_scan())
        intake.hear(wake.heard())
        intake.scan_if_due()
        while (job_id := intake.next_job(())) is not None:
            _claim(spool, job_id)


def _claim(spool: Spool, job_id: str) -> None:
    spool.to_processing = _to_processing(spool)  # type: ignore[method-assign]
    held = claim(spool, job_id)
    if held is not None:
        _say(f"{job_id} {time.monotonic_ns()}")
        held.abandon()
        os.unlink(spool.path(State.PROCESSING, job_id))


def _to_processing(spool: Spool) -> Any:
    """The claim's move without the two syncs of directories: raw inotify does not sync either."""

    def move(job: Any) -> None:
        os.rename(spool.path(State.PENDING, job.id), spool.path(State.PROCESSING, job.id))

    return move


def _claim_by_inotify(data: Path) -> None:
    """The least that can be done: the kernel's event, and a rename."""
    spool = Spool(data)
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.inotify_init1(0)
    moved_to = 0x80
    library.inotify_add_watch(descriptor, os.fsencode(spool.root / "pending"), moved_to)
    _say("ready")
    while True:
        events = os.read(descriptor, 65536)
        for name in _names(events):
            os.rename(spool.root / "pending" / name, spool.root / "processing" / name)
            _say(f"{name.removesuffix('.json')} {time.monotonic_ns()}")


def _names(events: bytes) -> list[str]:
    found, place = [], 0
    while place < len(events):
        _, _, _, length = struct.unpack_from("iIII", events, place)
        found.append(events[place + 16 : place + 16 + length].rstrip(b"\0").decode())
        place += 16 + length
    return found


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    {"intake": _claim_by_intake, "inotify": _claim_by_inotify}[sys.argv[1]](Path(sys.argv[2]))
