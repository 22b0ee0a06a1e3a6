"""A slot keeps its promises whatever its worker does, and in whatever order."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.settings import Settings
from runner.messages import Ended, Event, Exiting, Loaded, Loading, Ready, Run, Stepped, Stop, Waiting, WarmingUp
from runner.slot_state import TRANSITIONS, IllegalTransition, JobEnded, SlotState, WorkerDied, WorkerLeft
from runner.worker_slot import EXIT_SECONDS, STOP_SECONDS
from tests.slots import Clock, PretendedSlot

SETTINGS = Settings(stall_seconds=300, load_seconds=1800, idle_seconds=60)
READY = Ready(device="cuda:0", device_name="a GPU")

#: Whatever a worker may say, sound or not; JOB stands for the job that it has.
JOB = "(its job)"
EVENTS = st.sampled_from(
    [
        READY,
        Waiting("The device is taken."),
        Loading(job_id=JOB, model="a"),
        Loaded(model="a", seconds=1, plan={"placement": "resident"}, models=["a"]),
        WarmingUp(job_id=JOB, model="a"),
        Stepped(job_id=JOB, model="a", image_number=1, step=1, step_seconds=0.5),
        Ended(job_id=JOB, outcome="completed"),
        Ended(job_id=JOB, outcome="not_claimed"),
        Ended(job_id="a job of somebody else", outcome="completed"),
        Exiting("Nothing more to do."),
        Exiting("The device is broken.", is_fault=True),
    ]
)


class SlotMachine(RuleBasedStateMachine):
    """Asks of a slot what a supervisor may, while its worker does anything at all."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.at = PretendedSlot("cuda:0", self.clock, SETTINGS)
        self.slot = self.at.slot
        self.given: list[str] = []
        self.returned: list[str] = []
        self.seen = self.slot.state
        self.status: int | None = None

    def _look(self) -> None:
        assert self.slot.state is self.seen or self._is_reachable(), (self.seen, self.slot.state)
        self.seen = self.slot.state

    def _is_reachable(self) -> bool:
        """Whether the new state follows from the old one, perhaps over others within one poll."""
        found, border = {self.seen}, {self.seen}
        while border:
            border = {after for before in border for after in TRANSITIONS[before]} - found
            found |= border
        return self.slot.state in found

    @precondition(lambda self: self.slot.is_startable)
    @rule(fails=st.booleans())
    def start(self, fails: bool) -> None:
        self.at.launch_error = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) if fails else None
        self.slot.start()
        if fails:
            assert self.slot.state is SlotState.ABSENT
            assert self.slot.backoff.remaining() > 0
        else:
            assert self.slot.state is SlotState.STARTING

    @precondition(lambda self: self.slot.state is SlotState.IDLE)
    @rule()
    def assign(self) -> None:
        job_id = f"job-{len(self.given)}"
        self.given.append(job_id)
        self.slot.assign(job_id)
        assert self.at.worker.commands[-1] == Run(job_id)

    @rule(must_stop=st.booleans())
    def request_exit(self, must_stop: bool) -> None:
        was = self.slot.state
        self.slot.request_exit(must_stop=must_stop)
        if was in (SlotState.ABSENT, SlotState.KILLED, SlotState.EXITING):
            assert self.slot.state is was
        else:
            assert (self.slot.state, self.at.worker.commands[-1]) == (SlotState.EXITING, Stop())

    @rule(spared=st.integers(0, 3))
    def kill(self, spared: int) -> None:
        if not spared:  # more often, and little else would be seen
            self.slot.kill("Enough.")

    @precondition(lambda self: self.slot.is_startable)
    @rule()
    def set_to_work(self) -> None:
        self.start(fails=False)
        self.become_ready()
        self.assign()

    @precondition(lambda self: self.slot.process is not None and not self.at.worker.has_closed)
    @rule(events=st.lists(EVENTS, min_size=1, max_size=4), is_heard=st.booleans())
    def say(self, events: list[Event], is_heard: bool) -> None:
        self.at.worker.say(*(self._meant(event) for event in events))
        if is_heard:
            self.poll()

    @precondition(lambda self: self.slot.state is SlotState.STARTING and not self.at.worker.has_closed)
    @rule()
    def become_ready(self) -> None:
        self.say([READY], is_heard=True)

    def _meant(self, event: Event) -> Event:
        if isinstance(event, Ended) and event.job_id == JOB:
            return Ended(job_id=self.slot.facts.job_id or "none", outcome=event.outcome)
        return event

    @precondition(lambda self: self.slot.process is not None)
    @rule(status=st.sampled_from([0, 1, -9]))
    def die(self, status: int) -> None:
        self.at.worker.die(status)

    @precondition(lambda self: self.slot.process is not None)
    @rule(spared=st.integers(0, 3))
    def close_pipe(self, spared: int) -> None:
        if not spared:
            self.at.worker.close_pipe()

    @rule()
    def poll(self) -> None:
        process = self.at.worker if self.slot.process is not None else None
        happened = self.slot.poll()
        for happening in happened:
            if happening.job_id is not None:
                self.returned.append(happening.job_id)
        gone = [at for at in happened if isinstance(at, WorkerDied | WorkerLeft)]
        assert len(gone) <= 1
        assert gone == happened[-1:] if gone else True
        if gone and process is not None:
            assert not process.is_open
            assert self.slot.state is SlotState.ABSENT
        elif process is not None and process.status is not None:
            raise AssertionError("a process that is gone was not noticed")

    @rule(seconds=st.sampled_from([0.0, 0.4, 11.0, 70.0, 301.0, 2000.0]))
    def wait(self, seconds: float) -> None:
        self.clock.time += seconds
        self.slot.check_silence()
        self.slot.let_go_if_idle()
        facts, process = self.slot.facts, self.at.worker if self.slot.process else None
        if process is None or self.slot.state is SlotState.KILLED:
            return
        assert self.clock() < facts.exit_deadline
        assert process.silent_seconds() < SETTINGS.load_seconds or self.slot.state is SlotState.IDLE

    @invariant()
    def every_job_is_with_the_worker_or_was_given_back_once(self) -> None:
        self._look()
        held = [self.slot.facts.job_id] if self.slot.facts.job_id else []
        assert self.returned + held == self.given

    @invariant()
    def a_state_says_what_there_is(self) -> None:
        state, facts = self.slot.state, self.slot.facts
        assert (self.slot.process is None) == (state is SlotState.ABSENT)
        if state in (SlotState.ABSENT, SlotState.STARTING, SlotState.IDLE):
            assert facts.job_id is None
        if state is SlotState.RUNNING:
            assert facts.job_id is not None
        if state is SlotState.ABSENT:
            assert (facts.loaded_models, facts.plans, facts.kill_reason) == ([], {}, None)
        assert (state is SlotState.KILLED) == (facts.kill_reason is not None)

    @invariant()
    def killed_once_and_listened_to_while_there_is_something_to_hear(self) -> None:
        now = self.slot.process
        listening = now is not None and self.slot.facts.closed_at is None
        assert self.at.selector.registered == ([now] if listening else [])
        for process in self.at.processes:
            assert process.kills <= 1
            assert process.is_open == (now is not None and process.pid == now.pid)
        assert sum(at.is_open for at in self.at.processes) <= 1

    @invariant()
    def it_is_known_when_to_look_again(self) -> None:
        due = self.slot.seconds_until_due()
        assert due >= 0
        if self.slot.state is SlotState.ABSENT:
            assert due == float("inf")
        elif self.slot.state not in (SlotState.IDLE, SlotState.KILLED):
            assert due <= SETTINGS.load_seconds


TestSlotMachine = SlotMachine.TestCase
TestSlotMachine.settings = hypothesis_settings(max_examples=300, stateful_step_count=40, deadline=None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def at(clock: Clock) -> PretendedSlot:
    """A slot with a worker that waits for a job."""
    at = PretendedSlot("cuda:0", clock, SETTINGS)
    at.slot.start()
    at.says(READY)
    return at


@pytest.mark.parametrize("state", list(SlotState))
def test_what_a_state_does_not_allow_is_refused(clock: Clock, state: SlotState) -> None:
    at = PretendedSlot("cuda:0", clock, SETTINGS)
    steps: dict[SlotState, list[Callable[[], object]]] = {
        SlotState.STARTING: [at.slot.start],
        SlotState.IDLE: [at.slot.start, lambda: at.says(READY)],
        SlotState.RUNNING: [at.slot.start, lambda: at.says(READY), lambda: at.slot.assign("castle")],
        SlotState.EXITING: [at.slot.start, at.slot.request_exit],
        SlotState.KILLED: [at.slot.start, lambda: at.slot.kill("Enough.")],
    }
    for step in steps.get(state, []):
        step()
    assert at.slot.state is state
    if state is not SlotState.ABSENT:
        with pytest.raises(IllegalTransition, match=state):
            at.slot.start()
    if state is not SlotState.IDLE:
        with pytest.raises(IllegalTransition, match=state):
            at.slot.assign("ship")
    assert at.slot.state is state


def test_a_crash_gives_the_job_back_and_says_why(at: PretendedSlot) -> None:
    at.slot.assign("castle")
    at.worker.die(-11)
    assert at.slot.poll() == [WorkerDied("castle", "The worker died: signal 11 (SIGSEGV).")]


def test_a_job_that_came_too_late_is_given_back_without_a_crash(at: PretendedSlot) -> None:
    at.slot.assign("castle")
    assert at.says(Ended("castle", "completed")) == [JobEnded("castle", "completed")]
    at.slot.assign("ship")  # while the worker, which must be replaced, is about to say so
    at.says(Exiting("The memory is in pieces."))
    at.worker.die(0)
    assert at.slot.poll() == [WorkerLeft("ship")]
    assert at.slot.backoff.remaining() == 0


@pytest.mark.parametrize(
    ("events", "seconds"),
    [
        ([], 300),
        ([Loading(job_id="castle", model="a")], 1800),
        ([WarmingUp(job_id="castle", model="a")], 1800),
        ([Stepped(job_id="castle", model="a", image_number=1, step=1, step_seconds=30.0)], 600),
    ],
)
def test_a_silent_worker_is_killed_after_as_long_as_what_it_does_may_take(
    at: PretendedSlot, clock: Clock, events: list[Event], seconds: float
) -> None:
    at.slot.assign("castle")
    at.says(*events)
    assert at.slot.seconds_until_due() == pytest.approx(seconds)
    clock.time += seconds - 1
    at.slot.check_silence()
    assert at.slot.state is SlotState.RUNNING
    clock.time += 1
    at.slot.check_silence()
    assert (at.slot.state, at.worker.kills) == (SlotState.KILLED, 1)
    assert at.slot.facts.job_id == "castle", "it keeps the job until it is gone"
    at.worker.die(-9)
    assert at.slot.poll() == [WorkerDied("castle", f"No progress for {seconds} s; the worker was killed.")]


def test_a_worker_that_must_stop_has_its_step_and_a_little_more(at: PretendedSlot, clock: Clock) -> None:
    at.slot.assign("castle")
    at.says(Stepped(job_id="castle", model="a", image_number=1, step=1, step_seconds=20.0))
    at.slot.request_exit(must_stop=True)
    clock.time += 59
    at.slot.request_exit(must_stop=True)  # asked in each turn of the loop; the time does not begin again
    assert at.slot.seconds_until_due() == pytest.approx(1 + STOP_SECONDS)
    clock.time += 1 + STOP_SECONDS
    at.slot.check_silence()
    assert at.slot.state is SlotState.KILLED


def test_a_worker_whose_pipe_closed_is_looked_at_ever_less_often_and_then_killed(
    at: PretendedSlot, clock: Clock
) -> None:
    at.worker.close_pipe()
    assert at.slot.poll() == []
    assert at.slot.seconds_until_due() <= 0.01
    clock.time += 5
    assert at.slot.seconds_until_due() == 0.5
    clock.time += EXIT_SECONDS
    at.slot.check_silence()
    assert at.slot.state is SlotState.KILLED
    at.worker.die(-9)
    assert isinstance(at.slot.poll()[0], WorkerDied)


def test_a_worker_that_is_idle_for_long_enough_is_asked_to_end(at: PretendedSlot, clock: Clock) -> None:
    assert at.slot.seconds_until_due() == SETTINGS.idle_seconds
    clock.time += SETTINGS.idle_seconds
    at.slot.let_go_if_idle()
    assert at.slot.state is SlotState.EXITING
    at.says(Exiting("Nothing more to do."))
    at.worker.die(0)
    assert at.slot.poll() == [WorkerLeft(None)]
    assert (at.slot.found_device, at.slot.device_name) == ("cuda:0", "a GPU"), "what is known of the device stays"


def test_a_device_that_is_not_there_closes_the_slot(clock: Clock) -> None:
    at = PretendedSlot("cuda:9", clock, SETTINGS)
    at.slot.start()
    at.says(Exiting("There is no such device.", is_setting=True))
    at.worker.die(0)
    assert at.slot.poll() == [WorkerLeft(None)]
    assert (at.slot.is_startable, at.slot.refusal) == (False, "There is no such device.")
