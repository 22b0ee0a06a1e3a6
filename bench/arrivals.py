"""Time from a job file renamed into place to its claim by another process; one arrival each 10 ms.

    python -m bench.arrivals runner|durable|inotify FOLDER

is the other side. `runner` is the real supervisor, which hears of the job, orders it and gives it to a worker
process, which claims it as the real one does. Only the claim's two syncs of directories are left out, since the
partner, raw inotify with a bare rename, syncs nothing either; `durable` keeps them. Whoever claims writes
`<id> <monotonic ns>` into the FIFO `claims` of the folder.
"""

from __future__ import annotations

import ctypes
import os
import select
import selectors
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from bench.generate_data import Generator
from bench.servers import processor_seconds
from core.layout import Layout
from core.settings import Settings
from jobs.catalog import Catalog
from jobs.claims import claim
from jobs.drops.adopter import Adopter
from jobs.requests import RequestValidator
from jobs.schema import Job, State, encode
from jobs.spool import Spool

REPOSITORY = Path(__file__).resolve().parent.parent
_SPACING = 0.01
_PATIENCE = 30


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
    spool = Spool(Layout(folder))
    spool.prepare(create_anyway=True)
    with _claimer(kind, folder) as (_, claims):
        first = _arrive(spool, 1)  # the runner starts its worker for the first job
        claims.next(len(first))
        arrived = _arrive(spool, amount)
        claimed = claims.next(amount)
    return [(claimed[job_id] - moment) / 1e6 for job_id, moment in arrived.items()]


class _Claims:
    """What the other side writes; raises RuntimeError if it is silent for long."""

    def __init__(self, fifo: Path) -> None:
        os.mkfifo(fifo)
        self._descriptor = os.open(fifo, os.O_RDWR)  # for writing as well: so opening waits for nobody
        self._buffer = b""

    def line(self) -> str:
        """The next line."""
        while b"\n" not in self._buffer:
            if not select.select([self._descriptor], [], [], _PATIENCE)[0]:
                raise RuntimeError(f"the claiming process said nothing for {_PATIENCE} s")
            self._buffer += os.read(self._descriptor, 65536)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def next(self, amount: int) -> dict[str, int]:
        """When each of the next jobs was claimed (ns)."""
        found = (self.line().split() for _ in range(amount))
        return {job_id: int(moment) for job_id, moment in found}

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)


def _arrive(spool: Spool, amount: int) -> dict[str, int]:
    """Rename job files into `pending/` and ring; returns when (ns). Not synced: the disk is not measured here."""
    generator = Generator(spool.layout.data)
    jobs = [generator._job(spool.clock.issue(), "a castle") for _ in range(amount)]
    moves = {job.id: (spool.layout.temporary / job.id, spool.path(State.PENDING, job.id)) for job in jobs}
    for job in jobs:
        moves[job.id][0].write_bytes(encode(job))
    arrived = {}
    following = time.monotonic() + 0.2
    for job_id, move in moves.items():
        time.sleep(max(0.0, following - time.monotonic()))
        following += _SPACING
        arrived[job_id] = time.monotonic_ns()
        os.rename(*move)
        spool.ring()
    return arrived


def idle_share(folder: Path, seconds: float) -> float:
    """The part of a core that a supervisor uses when nothing happens, with a worker that waits."""
    spool = Spool(Layout(folder))
    spool.prepare(create_anyway=True)
    with _claimer("runner", folder) as (pid, claims):
        claims.next(len(_arrive(spool, 1)))
        time.sleep(0.5)
        before = processor_seconds(Path(f"/proc/{pid}"))
        time.sleep(seconds)
        return (processor_seconds(Path(f"/proc/{pid}")) - before) / seconds


@contextmanager
def _claimer(kind: str, folder: Path) -> Iterator[tuple[int, _Claims]]:
    """The other side, ready: its process id, and what it writes about its claims."""
    claims = _Claims(folder / "claims")
    environment = {**os.environ, "CYBERIMAGE_DATA": str(folder)}
    command = [sys.executable, "-m", "bench.arrivals", kind, str(folder)]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    try:
        if claims.line() != "ready":
            raise RuntimeError("the claiming process did not start")
        yield process.pid, claims
    finally:
        process.terminate()
        process.wait()
        claims.close()


# --- The other side ---------------------------------------------------------------------------


def _run(data: Path, worker: str) -> None:
    """The real supervisor, with the worker below."""
    from runner.__main__ import _listen_for_signals, make_slots
    from runner.job_source import JobSource
    from runner.status_board import StatusBoard
    from runner.supervisor import Supervisor
    from runner.wake import WakePipe

    settings = Settings.from_environment({"CYBERIMAGE_DATA": str(data), "CYBERIMAGE_RESERVE_MB": "0"})
    spool = Spool(Layout(data))
    catalog = Catalog.load(REPOSITORY / "models.toml", REPOSITORY / "models")
    wake = WakePipe()
    requests = _listen_for_signals(wake)
    adopter = Adopter(spool, RequestValidator(catalog, prompt_limit=500), quiet_seconds=30)
    source = JobSource(settings, spool, adopter)
    source.scan_if_due()
    command = [sys.executable, "-m", "bench.arrivals", worker, str(data)]
    with (data / "claims").open("w", encoding="utf-8") as claims:
        claims.write("ready\n")
        claims.flush()
        selector = selectors.DefaultSelector()
        slots, strays = make_slots(settings, spool.layout, selector, command)
        board = StatusBoard(spool.layout, catalog, slots, strays)
        Supervisor(slots, source, board, strays, wake, selector, lambda: len(requests)).run()


def _work(data: Path, spool: Spool) -> None:
    """A worker that claims each job it is given, and forgets it."""
    from runner.messages import Ended, Ready
    from runner.worker_channel import WorkerChannel

    channel = WorkerChannel(lambda: None)
    channel.send(Ready(device="none", device_name="no device"))
    with (data / "claims").open("w", encoding="utf-8") as claims:
        while (job_id := channel.next_job()) is not None:
            held = claim(spool, job_id)
            if held is not None:
                _say(claims, job_id)
                held.abandon()
                spool.path(State.PROCESSING, job_id).unlink()
            channel.send(Ended(job_id=job_id, outcome="completed"))


class _UnsyncedSpool(Spool):
    """A spool whose claim is as durable as a bare rename."""

    def to_processing(self, job: Job) -> None:
        os.rename(self.path(State.PENDING, job.id), self.path(State.PROCESSING, job.id))


def _claim_by_inotify(data: Path) -> None:
    """The least that can be done: the kernel's event, and a rename."""
    spool = Spool(Layout(data))
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.inotify_init1(0)
    moved_to = 0x80
    library.inotify_add_watch(descriptor, os.fsencode(spool.layout.spool / "pending"), moved_to)
    with (data / "claims").open("w", encoding="utf-8") as claims:
        claims.write("ready\n")
        claims.flush()
        while True:
            events = os.read(descriptor, 65536)
            for name in _names(events):
                os.rename(spool.layout.spool / "pending" / name, spool.layout.spool / "processing" / name)
                _say(claims, name.removesuffix(".json"))


def _names(events: bytes) -> list[str]:
    found, place = [], 0
    while place < len(events):
        _, _, _, length = struct.unpack_from("iIII", events, place)
        found.append(events[place + 16 : place + 16 + length].rstrip(b"\0").decode())
        place += 16 + length
    return found


def _say(claims: TextIO, job_id: str) -> None:
    claims.write(f"{job_id} {time.monotonic_ns()}\n")
    claims.flush()


def main() -> None:
    """The command line."""
    kind, data = sys.argv[1], Path(sys.argv[2])
    match kind:
        case "runner":
            _run(data, "unsynced-worker")
        case "durable":
            _run(data, "worker")
        case "unsynced-worker":
            _work(data, _UnsyncedSpool(Layout(data)))
        case "worker":
            _work(data, Spool(Layout(data)))
        case "inotify":
            _claim_by_inotify(data)


if __name__ == "__main__":
    main()
