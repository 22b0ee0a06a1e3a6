"""Goals 7 to 10: the index, the waker, the claim and the runner, measured without HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from filelock import FileLock

from bench import arrivals, huey_partner
from bench.context import Context
from bench.generate_data import Generator
from bench.results import Row, at_least, at_most
from core.layout import Layout
from jobs.catalog import Catalog
from jobs.claims import claim
from jobs.drops.adopter import Adopter
from jobs.pending import PendingQueue
from jobs.requests import RequestValidator
from jobs.schema import State
from jobs.spool import Spool
from tests.indexes import image_index, job_index

REPOSITORY = Path(__file__).resolve().parent.parent


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# --- 7: rebuild -------------------------------------------------------------------------------


def rebuild(context: Context) -> list[Row]:
    """The whole image index against a bare walk, read and parse of the same files, warm."""
    data = context.data(context.size)
    index = image_index(data)
    _walk(data / "outputs")  # the page cache is warm for both
    bare = min(timed(lambda: _walk(data / "outputs")) for _ in range(context.rounds))
    complete = timed(lambda: index.file.publish(index.fill))
    searching = timed(index.finish)
    jobs = timed(job_index(data).rebuild)
    index.repair()
    answers = f"gallery index of {context.size} jobs' images, until its answers are complete, against a bare walk"
    times = {"walk": bare, "complete": complete, "search": searching, "jobs": jobs}
    return [
        at_most("7", answers, complete / bare, 5, "x", "1 x", seconds=times),
        Row(number="7", what="the same, until search is fast as well", figure=f"{complete + searching:.3g} s"),
        Row(number="7", what=f"job index of {context.size} jobs", figure=f"{jobs:.3g} s"),
    ]


def _walk(outputs: Path) -> int:
    count = 0
    for folder, _, names in os.walk(outputs):
        for name in names:
            if name.endswith(".json"):
                with open(f"{folder}/{name}", "rb") as stream:
                    msgspec.json.decode(stream.read())
                count += 1
    return count


# --- 8: from arrival to claim -----------------------------------------------------------------


def start_latency(context: Context) -> list[Row]:
    """The real supervisor and a worker process against raw inotify with a bare rename, in turn."""
    amount = 60 * context.rounds
    ours, raw, durable = arrivals.Found(), arrivals.Found(), arrivals.Found()
    for _ in range(context.rounds):
        for kind, found in (("runner", ours), ("inotify", raw), ("durable", durable)):
            found.add(arrivals.measure(kind, context.fresh("arrivals"), amount))
    idle = arrivals.idle_share(context.fresh("arrivals"), seconds=4 * context.seconds)
    what = "arrival to claim, one each 10 ms: "
    pairs = {"ours": ours.summary(), "raw": raw.summary()}
    return [
        at_most(
            "8",
            f"{what}p50 ours {ours.p50:.2f} ms, raw inotify {raw.p50:.2f} ms",
            ours.p50 / raw.p50,
            3,
            "x",
            "1 x",
            **pairs,
        ),
        at_most(
            "8", f"{what}p99 ours {ours.p99:.2f} ms, raw inotify {raw.p99:.2f} ms", ours.p99 / raw.p99, 5, "x", "1 x"
        ),
        Row(number="8", what="the slowest of ours (the trap would give 500 ms)", figure=f"{max(ours.times):.3g} ms"),
        Row(
            number="8",
            what="p50 and p99 with the claim's two syncs",
            figure=f"{durable.p50:.2f} and {durable.p99:.2f} ms",
            details=durable.summary(),
        ),
        at_most("8", "idle supervisor", 100 * idle, 1, "% of a core"),
    ]


# --- 9: claims and adoption -------------------------------------------------------------------


def claiming(context: Context) -> list[Row]:
    """Claims at depth, as the runner makes them, against listing at each claim, and against huey."""
    deep, shallow, naive = [], [], []
    for _ in range(context.rounds):
        deep.append(_claim_seconds(context, 10_000))
        shallow.append(_claim_seconds(context, 10))
        naive.append(_naive_seconds(context, 10_000))
    slow, at_depth, at_ten = median(naive), median(deep), median(shallow)
    figures: dict[str, Any] = {"naive_us": slow * 1e6, "deep_us": at_depth * 1e6, "shallow_us": at_ten * 1e6}
    bare = median(_heap_seconds(context, 10_000) for _ in range(context.rounds))
    choosing = f"next of 10,000 chosen and moved ({bare * 1e6:.0f} us) against listing ({slow * 1e6:.0f} us)"
    durable = "the same as a durable claim: its own lock, two synced directories"
    flat = "durable claim with 10,000 pending against 10, FIFO checked"
    rows = [
        at_least("9", choosing, slow / bare, 15, "x faster", "9 us rename"),
        Row(number="9", what=durable, figure=f"{at_depth * 1e6:.0f} us"),
        at_most("9", flat, at_depth / at_ten, 1.3, "x", **figures),
    ]
    return [*rows, *_huey(context)]


def _claim_seconds(context: Context, depth: int) -> float:
    """Mean time of a claim (pop, lock, durable move), with the order checked."""
    generator = Generator(context.fresh("claim"))
    generator.spool.prepare(create_anyway=True)
    expected = [job.id for job in generator.pending(depth)]
    queue = PendingQueue(generator.spool)
    queue.refresh()
    taken: list[str] = []
    amount = min(depth, 10)

    def run() -> None:
        for _ in range(amount):
            job = queue.pop()
            held = claim(generator.spool, job.id) if job else None
            if held is None:
                raise RuntimeError("a pending job could not be claimed")
            taken.append(held.job.id)
            held.abandon()

    seconds = timed(run) / amount
    _check_order(taken, expected)
    return seconds


def _heap_seconds(context: Context, depth: int) -> float:
    """Mean time to choose the next job and rename it, without syncs and locks: what grows or does not."""
    generator = Generator(context.fresh("claim"))
    generator.spool.prepare(create_anyway=True)
    expected = [job.id for job in generator.pending(depth)]
    queue = PendingQueue(generator.spool)
    queue.refresh()
    lock = FileLock(generator.spool.layout.spool / "locks" / "all.lock")
    taken: list[str] = []

    def run() -> None:
        for _ in range(200):
            job = queue.pop()
            job_id = job.id if job else ""
            with lock:
                os.rename(generator.spool.path(State.PENDING, job_id), generator.spool.path(State.PROCESSING, job_id))
            taken.append(job_id)

    seconds = timed(run) / 200
    _check_order(taken, expected)
    return seconds


def _naive_seconds(context: Context, depth: int) -> float:
    """Mean time of a claim that lists the directory and takes the least name."""
    generator = Generator(context.fresh("claim"))
    generator.spool.prepare(create_anyway=True)
    expected = [f"{job.id}.json" for job in generator.pending(depth)]
    pending, processing = generator.spool.layout.spool / "pending", generator.spool.layout.spool / "processing"
    lock = FileLock(generator.spool.layout.spool / "locks" / "all.lock")
    taken: list[str] = []

    def run() -> None:
        for _ in range(20):
            with lock:
                name = min(os.listdir(pending))
                os.rename(pending / name, processing / name)
            taken.append(name)

    seconds = timed(run) / 20
    _check_order(taken, expected)
    return seconds


def _check_order(taken: list[str], expected: list[str]) -> None:
    if taken != expected[: len(taken)]:
        raise RuntimeError("the jobs were not taken in the order in which they came")


def _huey(context: Context) -> list[Row]:
    """For comparison only: how many jobs per second huey's queues accept and hand out."""
    amount = 100
    found = {}
    for name in ("SqliteHuey", "FileHuey"):
        put, get = huey_partner.rates(name, context.fresh("huey"), depth=1000, amount=amount)
        found[name] = f"{name} {put:.0f} / {get:.0f}"
    spool = Spool(Layout(context.fresh("claim")))
    generator = Generator(spool.layout.data)
    spool.prepare(create_anyway=True)
    jobs = [generator._job(spool.clock.issue(), "a castle") for _ in range(amount)]
    put = amount / timed(lambda: [spool.submit(job) for job in jobs])
    get = amount / timed(lambda: [claim(spool, job.id) for job in jobs])
    figure = ", ".join([f"ours (synced files) {put:.0f} / {get:.0f}", *found.values()])
    return [Row(number="9", what="jobs accepted / claimed per second, 1,000 waiting", figure=figure)]


def adopting(context: Context) -> list[Row]:
    """Dropped files become jobs."""
    amount = 15_000 if context.size >= 100_000 else 1_000
    spool = Spool(Layout(context.fresh("adopt")), max_pending=100_000)
    spool.prepare(create_anyway=True)
    body = b'{"model_id": "demo", "prompt": "a castle on a hill"}'
    for number in range(amount):
        (spool.layout.incoming / f"drop-{number:06}.json").write_bytes(body)
    catalog = Catalog.load(REPOSITORY / "models.toml", REPOSITORY / "models")
    adopter = Adopter(spool, RequestValidator(catalog, prompt_limit=500), quiet_seconds=30)
    adopted = 0

    def run() -> None:
        nonlocal adopted
        deadline = time.monotonic() + 300
        while adopted < amount and time.monotonic() < deadline:
            adopted += len(adopter.scan().adopted)

    seconds = timed(run)
    if adopted != amount:
        raise RuntimeError(f"only {adopted} of {amount} dropped files were adopted")
    return [at_most("9", f"{amount:,} dropped files adopted", seconds, 60 * amount / 15_000, "s", "two fsyncs each")]


# --- 10 ---------------------------------------------------------------------------------------


def runner_overhead(context: Context) -> list[Row]:
    """The runner's own time on an image."""
    rounds = str(2 * context.rounds + 1)
    return _apart("bench.runner_overhead", "the runner's own time on an image", "--rounds", rounds)


def cold_start(context: Context) -> list[Row]:
    """From no worker process to the first step."""
    return _apart("bench.cold_start", "no worker process to the first step", "--rounds", str(context.rounds))


def worker_scaling(context: Context) -> list[Row]:
    """What more workers in one runner give."""
    return _apart("bench.worker_scaling", "gain of more workers", "--workers", str(min(4, 1 + context.rounds)))


def _apart(module: str, what: str, *options: str) -> list[Row]:
    """Rows that are measured by a process of its own."""
    command = [sys.executable, "-m", module, "--json", *options]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return [Row(number="10", what=what, figure=f"not measured: {reason}")]
    return [msgspec.convert(row, Row) for row in msgspec.json.decode(done.stdout.splitlines()[-1])]
