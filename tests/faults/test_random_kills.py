"""Several processes at work, killed at random: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.sharedctypes import RawValue
from pathlib import Path

import pytest

from core import files
from core.layout import Layout
from jobs import ids, leftovers
from jobs.claims import Claim, claim, recover_all
from jobs.drops.adopter import Adopter
from jobs.pending import PendingQueue
from jobs.requests import RequestValidator
from jobs.schema import Job, State
from jobs.spool import Spool
from outputs.store import ImageStore
from tests.faults import scenario
from tests.faults.table import record
from tests.sidecars import sidecar_of

#: So many attempts that bad luck alone fails no job.
MAX_ATTEMPTS = 1000


class Cluster:
    """One data directory and its processes: a submitter, a dropper, an adopter and workers."""

    def __init__(self, data: Path, validator: RequestValidator, jobs: int) -> None:
        self.spool = Spool(Layout(data))
        self.spool.prepare()
        self.store = ImageStore(self.spool.layout)
        self.jobs = jobs
        self._validator = validator
        self._event_log = data.parent / "event_log"
        #: So many jobs may have been sent by now; shared with the processes, so that kills meet with work.
        self.pace = RawValue("i", jobs)

    def record(self, line: str) -> None:
        """Append a line to what the checker reads; a single write is never torn by a kill."""
        descriptor = os.open(self._event_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)

    def events(self, word: str) -> list[str]:
        """What was told after a word."""
        lines = self._event_log.read_text(encoding="utf-8").splitlines() if self._event_log.exists() else []
        return [line.split()[1] for line in lines if line.split()[0] == word]

    def _turns(self, numbers: range) -> Iterator[int]:
        """The numbers, each when the pace allows."""
        for place, number in enumerate(numbers):
            while 2 * place >= self.pace.value:
                time.sleep(0.005)
            yield number

    def submitter(self) -> None:
        """Submit the first half of the jobs, each under its own id until it is known to be there."""
        for number in self._turns(range(self.jobs // 2)):
            job_id = f"http-{number}"
            if not self.spool.exists(job_id):
                request = self._validator.generate(_body(job_id))
                order = self.spool.clock.issue()
                self.spool.submit_named(self._validator.job(request, job_id=job_id, order=order, source="http"))
            self.record(f"accepted {job_id}")

    def dropper(self) -> None:
        """Drop the second half as files, without ids.

        Killed between a drop and the word of it, the next dropper drops that one again. So each drop names its
        dropper: two jobs from one drop are a fault, two drops are not.
        """
        told = {drop.partition(".")[0] for drop in self.events("dropped")}
        for number in self._turns(range(self.jobs // 2, self.jobs)):
            name = f"drop-{number}"
            if name not in told:
                drop = f"{name}.{os.getpid()}"
                files.create(self.spool.layout.incoming / f"{drop}.json", _body(drop), self.spool.layout.temporary)
                self.record(f"dropped {drop}")

    def adopter(self) -> None:
        """Adopt until killed."""
        adopter = Adopter(self.spool, self._validator, 30)
        while True:
            if not adopter.scan().adopted:
                time.sleep(0.01)

    def worker(self) -> None:
        """Recover, claim and draw until killed."""
        leftovers.sweep(self.spool)
        queue = PendingQueue(self.spool)
        while True:
            recover_all(self.spool, max_attempts=MAX_ATTEMPTS)
            queue.refresh()
            while (job := queue.pop()) is not None:
                held = claim(self.spool, job.id, timeout=0.05)
                if held is not None:
                    self._draw(held)
            time.sleep(0.01)

    def _draw(self, held: Claim) -> None:
        image = ids.image_id(held.job.order, 1)
        if not self.store.is_committed(image):
            self.record(f"drawing {held.job.id}")
            png = scenario.picture(image)
            self.store.commit(png, sidecar_of(held.job, 1, png))
            self.record(f"committed {held.job.id}")
        held.complete()
        self.record(f"finished {held.job.id}")

    def is_done(self) -> bool:
        """Whether every job was sent and has ended."""
        sent = {name.partition(".")[0] for name in (*self.events("accepted"), *self.events("dropped"))}
        rooms = ("incoming", "pending", "processing", "pending")  # the way that jobs move, and back
        return len(sent) == self.jobs and not any(os.listdir(self.spool.layout.spool / room) for room in rooms)


def _body(prompt: str) -> bytes:
    return json.dumps({"model_id": "tiny", "prompt": prompt}).encode()


class Killer:
    """Starts processes, kills them at random and starts them again."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._running: dict[int, tuple[Callable[[], None], bool]] = {}
        self.kills = 0

    def start(self, work: Callable[[], None], *, ends: bool = False) -> None:
        """Run `work` in a process; one that `ends` is started again only if it was killed."""
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(0)
        self._running[pid] = (work, ends)

    def kill_one(self) -> None:
        """Kill a random process and start it again."""
        pid = self._dice.choice(list(self._running))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        work, ends = self._running.pop(pid)
        self.kills += 1
        if not (ends and os.WIFEXITED(status)):
            self.start(work, ends=ends)

    def pause(self) -> None:
        """A moment until the next kill."""
        time.sleep(self._dice.uniform(0.005, 0.06))

    def end(self) -> None:
        """Kill them all."""
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._running.clear()


def rampage(cluster: Cluster, *, workers: int, kills: int, seed: int, patience: float) -> int:
    """Let the cluster work under `kills` kills, then in peace until all is done; returns the kills."""
    killer = Killer(seed)
    deadline = time.monotonic() + patience
    try:
        killer.start(cluster.submitter, ends=True)
        killer.start(cluster.dropper, ends=True)
        killer.start(cluster.adopter)
        for _ in range(workers):
            killer.start(cluster.worker)
        while not cluster.is_done() or killer.kills < kills:
            assert time.monotonic() < deadline, (
                f"{len(list(cluster.spool.ids(State.COMPLETED)))} of {cluster.jobs} done"
            )
            cluster.pace.value = cluster.jobs * (killer.kills + 1) // kills
            killer.pause()
            if killer.kills < kills:
                killer.kill_one()
            if cluster.is_done():
                break
    finally:
        killer.end()
    return killer.kills


def violations_in(cluster: Cluster) -> list[str]:
    places = Counter(job_id for state in State for job_id in cluster.spool.ids(state))
    found = [f"{job_id} is in {count} states" for job_id, count in places.items() if count > 1]
    found += [f"{job_id} was accepted and is lost" for job_id in cluster.events("accepted") if job_id not in places]
    jobs: list[Job] = [cluster.spool.find(job_id)[1] for job_id in places]
    prompts = Counter(job.prompt for job in jobs)
    found += [f"{prompt} became {count} jobs" for prompt, count in prompts.items() if count > 1]
    found += [f"{drop} became no job" for drop in cluster.events("dropped") if drop not in prompts]
    images = [ids.image_id(job.order, 1) for job in jobs]
    found += [f"{image} is not whole" for image in images if not cluster.store.is_committed(image)]
    found += [f"{name} was finished twice" for name, count in Counter(cluster.events("finished")).items() if count > 1]
    found += [
        f"{name} was committed twice" for name, count in Counter(cluster.events("committed")).items() if count > 1
    ]
    names = {prompt.partition(".")[0] for prompt in prompts}
    if len(names) != cluster.jobs:
        found.append(f"there are jobs of {len(names)} names and not {cluster.jobs}")
    return found


def test_random_kills_lose_and_double_nothing(fast_path: Path, scripted: RequestValidator) -> None:
    cluster = Cluster(fast_path / "data", scripted, 150)
    kills = rampage(cluster, workers=3, kills=30, seed=1, patience=900)
    record("random SIGKILLs, several processes at work", kills, violations_in(cluster))


@pytest.mark.long
def test_hundreds_of_random_kills_lose_and_double_nothing(fast_path: Path, scripted: RequestValidator) -> None:
    cluster = Cluster(fast_path / "data", scripted, 1000)
    kills = rampage(cluster, workers=4, kills=600, seed=2, patience=7000)
    record("random SIGKILLs, several processes at work", kills, violations_in(cluster))
