"""A worker inside the test's own process: real pipelines on the CPU, and a channel that only remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from core.settings import Settings
from engine.local.devices import Device, choose
from engine.local.engine import LocalEngine
from engine.local.pipelines import Pipelines
from engine.local.preview_budget import CPU_SHARE, Budget
from engine.local.previews import Previews
from jobs.schema import Job
from outputs.inputs import InputStore
from runner.job_run import WorkerContext
from runner.messages import Event, Exiting
from runner.stop_switch import StopSwitch
from runner.worker import Worker
from tests.runner_harness import RunnerHarness


@dataclass
class Channel:
    """Stands in for the pipes: commands are given beforehand, events are kept."""

    events: list[Event] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    on_event: Callable[[Event], None] = lambda _event: None

    def next_job(self) -> str | None:
        """The next of the jobs given."""
        return self.jobs.pop(0) if self.jobs else None

    def send(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)
        self.on_event(event)

    def of(self, *kinds: type) -> list[Event]:
        """The events of some kinds."""
        return [event for event in self.events if isinstance(event, kinds)]


@dataclass
class Bench:
    """A harness and one worker for it."""

    harness: RunnerHarness
    channel: Channel
    context: WorkerContext
    worker: Worker
    pipelines: Pipelines

    def use_previews(self, previews: Previews | None) -> None:
        """A worker with other previews, on the pipelines that are in memory."""
        engine = LocalEngine(self.harness.catalog, choose("cpu"), self.pipelines, previews)
        self.context = replace(self.context, engine=engine)
        self.worker = Worker(self.harness.spool, self.context, self.channel)  # type: ignore[arg-type]

    def run(self, *jobs: Job) -> list[Event]:
        """Work on these jobs; returns all that the worker has said."""
        self.channel.jobs = [job.id for job in jobs]
        self.worker.run()
        return self.channel.events

    def exit_reason(self) -> str:
        """Why the worker left."""
        last = self.channel.events[-1]
        assert isinstance(last, Exiting)
        return last.reason


@pytest.fixture(scope="session")
def cpu() -> Device:
    return choose("cpu")


@pytest.fixture
def bench(harness: RunnerHarness, cpu: Device) -> Bench:
    """A fresh worker, nothing loaded."""
    channel, stop, pipelines = Channel(), StopSwitch(), Pipelines(harness.catalog, cpu)
    context = WorkerContext(
        settings=Settings(data=harness.data, max_attempts=2, retry_delays=(0.0,)),
        catalog=harness.catalog,
        store=harness.store,
        inputs=InputStore(harness.spool.layout),
        engine=LocalEngine(
            harness.catalog,
            cpu,
            pipelines,
            Previews(harness.spool.layout.latent_maps, harness.spool.layout.temporary, Budget(CPU_SHARE)),
        ),
        stop=stop,
        send=channel.send,
    )
    return Bench(harness, channel, context, Worker(harness.spool, context, channel), pipelines)  # type: ignore[arg-type]
