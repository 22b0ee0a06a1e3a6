"""A slot whose worker is only pretended: a test says what it does."""

from __future__ import annotations

from typing import Any

from core.settings import Settings
from runner.messages import Command, Event
from runner.orphan import Orphans
from runner.worker_slot import WorkerSlot


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class FakeProcess:
    """See `runner.worker_process.WorkerProcess`."""

    def __init__(self, clock: Clock, pid: int) -> None:
        self.pid = pid
        self.start_ticks = pid
        self.has_closed = False
        self.is_open = True
        self.status: int | None = None
        self.commands: list[Command] = []
        self.kills = 0
        self.last_sign = clock()
        self._clock = clock
        self._said: list[Event] = []

    def say(self, *events: Event) -> None:
        """Speak, to be heard at the next poll."""
        self._said += events
        self.last_sign = self._clock()

    def close_pipe(self) -> None:
        """End in part: the pipe is closed, and the process not yet gone."""
        self.has_closed = True

    def die(self, status: int) -> None:
        """End."""
        self.has_closed, self.status = True, status

    def fileno(self) -> int:
        return self.pid

    def send(self, command: Command) -> None:
        self.commands.append(command)
        self.last_sign = self._clock()

    def read_events(self) -> list[Event]:
        said, self._said = self._said, []
        return said

    def silent_seconds(self) -> float:
        return self._clock() - self.last_sign

    def kill(self) -> None:
        self.kills += 1

    def exit_status(self) -> int | None:
        return self.status

    def close(self) -> None:
        self.is_open = False


class FakeSelector:
    """Remembers what is registered."""

    def __init__(self) -> None:
        self.registered: list[Any] = []

    def register(self, process: Any, _events: int) -> None:
        assert process not in self.registered
        self.registered.append(process)

    def unregister(self, process: Any) -> None:
        self.registered.remove(process)


class PretendedSlot:
    """A slot, and every process that was started in it."""

    def __init__(self, device: str, clock: Clock, settings: Settings | None = None) -> None:
        self.clock = clock
        self.processes: list[FakeProcess] = []
        self.selector = FakeSelector()
        self.launch_error: OSError | None = None
        self.slot = WorkerSlot(
            device,
            self._launch,  # type: ignore[arg-type]
            settings or Settings(),
            self.selector,  # type: ignore[arg-type]
            Orphans([], 300, clock),
            clock,
        )

    def _launch(self) -> FakeProcess:
        if self.launch_error is not None:
            raise self.launch_error
        self.processes.append(FakeProcess(self.clock, pid=100 + len(self.processes)))
        return self.processes[-1]

    @property
    def worker(self) -> FakeProcess:
        """The latest process."""
        return self.processes[-1]

    def says(self, *events: Event) -> list[Any]:
        """The worker speaks; returns what the slot makes of it."""
        self.worker.say(*events)
        return list(self.slot.poll())
