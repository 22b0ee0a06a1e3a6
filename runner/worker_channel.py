"""The worker's side of its pipes: commands in, events out."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

import msgspec

from runner import messages
from runner.messages import Command, Event, Run


class WorkerChannel:
    """Owns the process's stdin and stdout; anything that a library prints goes to stderr instead."""

    def __init__(self, on_stop: Callable[[], None]) -> None:
        self._on_stop = on_stop
        self._commands: queue.SimpleQueue[Run | None] = queue.SimpleQueue()
        self._output = os.dup(1)
        self._lock = threading.Lock()
        os.dup2(2, 1)
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    def next_job(self) -> str | None:
        """Wait for the id of the next job; None when the worker must end."""
        command = self._commands.get()
        return command.job_id if command else None

    def send(self, event: Event) -> None:
        """Tell the supervisor; if it is gone, stop."""
        try:
            with self._lock:
                os.write(self._output, messages.to_line(event))
        except BrokenPipeError:
            self.stop()

    def stop(self) -> None:
        """Make `next_job` return None, and pass the stop request on. Safe to call from a signal handler."""
        self._commands.put(None)
        self._on_stop()

    def _listen(self) -> None:
        # Not through sys.stdin: a thread in its buffered reader would abort the interpreter's shutdown.
        buffer = b""
        while part := os.read(0, 65536):
            *lines, buffer = (buffer + part).split(b"\n")
            for line in lines:
                command = self._decoded(line)
                if not isinstance(command, Run):
                    self.stop()
                    return
                self._commands.put(command)
        self.stop()  # the supervisor is gone

    @staticmethod
    def _decoded(line: bytes) -> Command | None:
        try:
            return messages.read_command(line)
        except msgspec.DecodeError:
            return None
