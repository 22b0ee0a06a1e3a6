"""The life of jobs as a state machine: whatever is done in whatever order, every job is where the model says."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from core.layout import Layout
from jobs import leftovers
from jobs.claims import Claim, claim, recover
from jobs.drops.adopter import Adopter
from jobs.errors import DuplicateJob, JobNotFound
from jobs.pending import PendingQueue
from jobs.schema import FINAL_STATES, JobError, State
from jobs.spool import Spool
from tests.faults import scenario

MAX_ATTEMPTS = 3
NAMES = ("a", "b", "c", "d", "e")


class SpoolLife(RuleBasedStateMachine):
    """Jobs are submitted, dropped, claimed, finished, abandoned, recovered and cancelled in any order."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.spool = Spool(Layout(self.folder / "data"))
        self.spool.prepare()
        self.validator = scenario.validator(self.folder / "models")
        self.adopter = Adopter(self.spool, self.validator, 30)
        #: What should be so: state, attempts, held by a living worker, asked to be cancelled.
        self.states: dict[str, State] = {}
        self.attempts: dict[str, int] = {}
        self.alive: dict[str, Claim] = {}
        self.cancelling: set[str] = set()

    def teardown(self) -> None:
        for held in self.alive.values():
            held.abandon()
        shutil.rmtree(self.folder)

    @rule(name=st.sampled_from(NAMES))
    def submit(self, name: str) -> None:
        request = self.validator.generate(_body(name))
        job = self.validator.job(request, job_id=name, order=self.spool.clock.issue(), source="http")
        if name in self.states:
            with pytest.raises(DuplicateJob):
                self.spool.submit_named(job)
        else:
            self.spool.submit_named(job)
            self._born(name)

    @rule(name=st.sampled_from(NAMES))
    def drop(self, name: str) -> None:
        document = json.loads(_body(name)) | {"id": name}
        (self.spool.layout.incoming / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
        result = self.adopter.scan()
        if name in self.states:
            assert result.refused == [f"{name}.json"]
        else:
            assert result.adopted == [name]
            self._born(name)

    def _born(self, name: str) -> None:
        self.states[name] = State.PENDING
        self.attempts[name] = 0

    @rule(target=held, name=st.sampled_from(NAMES))
    def claim(self, name: str) -> object:
        got = claim(self.spool, name, timeout=0)
        if self.states.get(name) is not State.PENDING:
            assert got is None
            return multiple()
        if name in self.cancelling:
            assert got is None
            self._ended(name, State.CANCELLED)
            return multiple()
        assert got is not None
        self.states[name] = State.PROCESSING
        self.alive[name] = got
        self.attempts[name] += 1
        return got

    @rule(held=consumes(held), way=st.sampled_from(["complete", "fail", "cancel", "requeue", "stop", "die"]))
    def end(self, held: Claim, way: str) -> None:
        name = held.job.id
        if self.alive.get(name) is not held:
            return
        del self.alive[name]
        match way:
            case "complete":
                held.complete()
                self._ended(name, State.COMPLETED)
            case "fail":
                held.fail(JobError(type="scripted", message="as told"))
                self._ended(name, State.FAILED)
            case "cancel":
                held.cancel()
                self._ended(name, State.CANCELLED)
            case "requeue" | "stop":
                held.requeue(refund_attempt=way == "stop")
                self.states[name] = State.PENDING
                self.attempts[name] -= way == "stop"
            case "die":
                held.abandon()

    def _ended(self, name: str, state: State) -> None:
        self.states[name] = state
        self.cancelling.discard(name)

    @rule(name=st.sampled_from(NAMES))
    def cancel(self, name: str) -> None:
        if name not in self.states:
            return
        before = self.states[name]
        now = self.spool.cancel(name)
        if before.is_final:
            assert now is before
        elif name in self.alive:
            assert now is State.PROCESSING
            self.cancelling.add(name)
        else:
            assert now is State.CANCELLED
            self._ended(name, State.CANCELLED)

    @rule(name=st.sampled_from(NAMES))
    def recover(self, name: str) -> None:
        now = recover(self.spool, name, max_attempts=MAX_ATTEMPTS)
        if self.states.get(name) is not State.PROCESSING or name in self.alive:
            assert now is None
        elif name in self.cancelling:
            self._ended(name, State.CANCELLED)
        elif self.attempts[name] >= MAX_ATTEMPTS:
            self._ended(name, State.FAILED)
        else:
            self.states[name] = State.PENDING

    @rule()
    def sweep(self) -> None:
        leftovers.sweep(self.spool)

    @invariant()
    def every_job_is_where_it_should_be(self) -> None:
        on_disk = {job_id: state for state in State for job_id in self.spool.ids(state)}
        assert on_disk == self.states
        assert sum(1 for state in State for _ in self.spool.ids(state)) == len(self.states)

    @invariant()
    def every_job_is_found_and_its_attempts_are_counted(self) -> None:
        found = {name: self.spool.find(name) for name in self.states}
        assert {name: state for name, (state, _) in found.items()} == self.states
        assert {name: job.attempts for name, (_, job) in found.items()} == self.attempts

    @rule(name=st.sampled_from(NAMES), state=st.sampled_from(FINAL_STATES))
    def a_person_moves_an_ended_job(self, name: str, state: State) -> None:
        before = self.states.get(name)
        if before is not None and before.is_final:
            self.spool.path(before, name).rename(self.spool.path(state, name))
            self.states[name] = state

    @rule(name=st.sampled_from(NAMES))
    def a_person_deletes_an_ended_job(self, name: str) -> None:
        if name in self.states and self.states[name].is_final:
            self.spool.path(self.states.pop(name), name).unlink()
            del self.attempts[name]
            with pytest.raises(JobNotFound):
                self.spool.find(name)

    @invariant()
    def only_the_dead_are_stalled(self) -> None:
        for name, state in self.states.items():
            if state is State.PROCESSING:
                assert self.spool.is_stalled(name) == (name not in self.alive)

    @invariant()
    def the_queue_is_in_order_and_complete(self) -> None:
        queue = PendingQueue(self.spool)
        queue.refresh()
        popped = [job.id for job in iter(queue.pop, None)]
        orders = [self.spool.find(name)[1].order for name in popped]
        assert orders == sorted(orders)
        assert set(popped) == {name for name, state in self.states.items() if state is State.PENDING}


def _body(prompt: str) -> bytes:
    return json.dumps({"model_id": "tiny", "prompt": prompt}).encode()


TestSpoolLife = SpoolLife.TestCase
TestSpoolLife.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
