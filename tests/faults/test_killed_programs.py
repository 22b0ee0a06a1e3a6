"""The real programs under random SIGKILLs: API workers, supervisors and workers (reliability.md A17, F1)."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

import httpx
import pytest

from jobs import ids
from jobs.schema import State
from tests.faults.hostile import BODY, environment
from tests.faults.table import record
from tests.programs import ApiProcess, Program, api, children_of, wait_until
from tests.runner_harness import RunnerHarness


class Customers:
    """Send jobs over HTTP, each again under its `Idempotency-Key` until it is answered, and drop others as files.

    They send as many as `pace` allows, so that there is work as long as there are kills.
    """

    def __init__(self, server: ApiProcess, harness: RunnerHarness, jobs: int) -> None:
        self.accepted: list[str] = []
        self.jobs = jobs
        self.pace = 0
        self._server = server
        self._harness = harness
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._submit, self._drop)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _numbers(self, first: int) -> Iterator[int]:
        for number in range(first, self.jobs, 2):
            while number >= self.pace and not self._ended.wait(0.02):
                pass
            if self._ended.is_set():
                return
            yield number

    def _submit(self) -> None:
        for number in self._numbers(0):
            headers = {"Idempotency-Key": f"customer-{number}"}
            while not self._ended.is_set():
                with suppress(httpx.TransportError):
                    answer = httpx.post(f"{self._server.base}/api/generate", json=BODY, headers=headers, timeout=60)
                    assert answer.status_code == 200, answer.text
                    self.accepted.append(answer.json()["job_id"])
                    break

    def _drop(self) -> None:
        for number in self._numbers(1):
            job_id = f"dropped-{number}"
            draft = self._harness.folder / job_id
            draft.write_text(json.dumps(BODY | {"id": job_id}), encoding="utf-8")
            draft.rename(self._harness.spool.layout.incoming / f"{job_id}.json")
            self.accepted.append(job_id)


class Killer:
    """Kills a random process of ours and starts it again where nobody else does."""

    def __init__(self, server: ApiProcess, runners: list[Program], harness: RunnerHarness, seed: int) -> None:
        self._server = server
        self._runners = runners
        self._harness = harness
        self._dice = random.Random(seed)
        self.kills: Counter[str] = Counter()

    def kill_one(self) -> None:
        """SIGKILL to an API worker, a supervisor or a worker."""
        time.sleep(self._dice.uniform(0.02, 0.4))
        kind = self._dice.choice(["API worker", "supervisor", "worker", "worker"])
        if kind == "supervisor":
            runner = self._dice.choice(self._runners)
            runner.end(signal.SIGKILL)
            runner.start()
            self.kills[kind] += 1
        elif victims := children_of(self._server.pid) if kind == "API worker" else self._workers():
            with suppress(ProcessLookupError):
                os.kill(self._dice.choice(victims), signal.SIGKILL)
                self.kills[kind] += 1

    def _workers(self) -> list[int]:
        """The living workers; waits for one as long as there is work."""

        def look() -> list[int]:
            return [pid for runner in self._runners for pid in children_of(runner.pid)]

        wait_until(lambda: look() or not self._has_work(), about="a worker")
        return look()

    def _has_work(self) -> bool:
        return any(True for state in (State.PENDING, State.PROCESSING) for _ in self._harness.spool.ids(state))


@contextmanager
def cluster(harness: RunnerHarness, runners: int) -> Iterator[tuple[ApiProcess, list[Program]]]:
    """An API of two workers, and runners of a device each; the last one has two."""
    with ExitStack() as stack:
        server = stack.enter_context(api(harness.data, environment(harness.folder), workers=2))
        devices = [f"cuda:{number}" for number in range(runners)]
        devices[-1] += f",cuda:{runners}"
        programs = [harness.stub_runner(device=device, max_attempts=100, scan_seconds=0.5) for device in devices]
        for program in programs:
            stack.enter_context(program)
        yield server, programs
        server.end()  # gunicorn misses a worker that is just being born, and kills it after 30 s


def violations(harness: RunnerHarness, accepted: list[str], event_log: Path) -> list[str]:
    """P1 to P3 at the end of all."""
    places = Counter(job_id for state in State for job_id in harness.spool.ids(state))
    found = [f"{job_id} was accepted and is lost" for job_id in accepted if job_id not in places]
    found += [f"{job_id} is in {count} states" for job_id, count in places.items() if count > 1]
    found += [f"{job_id} was never asked for" for job_id in places if job_id not in accepted]
    found += [f"{job_id} was answered for two requests" for job_id, n in Counter(accepted).items() if n > 1]
    for job_id in places:
        state, job = harness.spool.find(job_id)
        image = ids.image_id(job.order, 1)
        if state is not State.COMPLETED:
            found.append(f"{job_id} is {state}: {job.error}")
        elif not harness.store.is_committed(image):
            found.append(f"{image} is missing or not whole")
    return [*found, *_done_twice(event_log.read_text(encoding="utf-8").splitlines())]


def _done_twice(event_log: list[str]) -> Iterator[str]:
    committed = set()
    for line in event_log:
        word, image = line.split()
        if image in committed:
            yield f"{image}: {word} after it was committed"
        if word == "committed":
            committed.add(image)


def kill_programs(
    harness: RunnerHarness, event_log: Path, *, jobs: int, kills: int, runners: int, patience: float
) -> None:
    deadline = time.monotonic() + patience
    with cluster(harness, runners) as (server, programs), Customers(server, harness, jobs) as customers:
        killer = Killer(server, programs, harness, seed=jobs)
        while killer.kills.total() < kills:
            assert time.monotonic() < deadline, f"{killer.kills}, {len(customers.accepted)} accepted"
            customers.pace = jobs * (killer.kills.total() + 1) // kills
            killer.kill_one()
        customers.pace = jobs
        remaining = deadline - time.monotonic()
        wait_until(lambda: len(customers.accepted) == jobs, remaining, "all jobs to be accepted")
        done = harness.spool.layout.spool / State.COMPLETED
        wait_until(lambda: len(os.listdir(done)) >= jobs, remaining, "all jobs to be completed")
    found = violations(harness, customers.accepted, event_log)
    for kind, count in killer.kills.items():
        record(f"A17 F1 random SIGKILLs of real programs: {kind}s", count, found)
    record(f"A17 F1 jobs sent to them meanwhile ({runners} runners, 2 API workers)", jobs, found)


@pytest.fixture
def event_log(fast_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workers tell what they draw and commit."""
    path = fast_path / "event_log"
    path.touch()
    monkeypatch.setenv("TEST_EVENTS", str(path))
    return path


def test_killed_programs_lose_and_double_nothing(fast_path: Path, event_log: Path) -> None:
    kill_programs(RunnerHarness.bare(fast_path), event_log, jobs=40, kills=15, runners=2, patience=300)


@pytest.mark.long
def test_hundreds_of_killed_programs_lose_and_double_nothing(fast_path: Path, event_log: Path) -> None:
    kill_programs(RunnerHarness.bare(fast_path), event_log, jobs=1000, kills=400, runners=4, patience=7000)


def test_the_checker_sees_what_was_done_twice_and_what_is_missing(bare_harness: RunnerHarness, event_log: Path) -> None:
    job = bare_harness.submit()
    event_log.write_text("drawing x\ncommitted x\ndrawing x\n", encoding="utf-8")
    assert violations(bare_harness, [job.id, "gone", "gone"], event_log) == [
        "gone was accepted and is lost",
        "gone was accepted and is lost",
        "gone was answered for two requests",
        f"{job.id} is pending: None",
        "x: drawing after it was committed",
    ]
