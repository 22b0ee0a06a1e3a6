"""Another process that holds the lock of a job's id and is stopped, as by SIGSTOP or a disk that hangs.

Run as a program with the path of the lock: takes it, and stops.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.locks import ExclusiveLock


@contextmanager
def stopped_holder(path: Path) -> Iterator[int]:
    """Hold the lock at `path` in a stopped process, which is killed at the end; gives its process id."""
    with subprocess.Popen([sys.executable, "-m", "tests.lock_holder", str(path)]) as holder:
        _, status = os.waitpid(holder.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        try:
            yield holder.pid
        finally:
            holder.kill()


def main() -> None:
    """The program."""
    assert ExclusiveLock(Path(sys.argv[1])).acquire(timeout=10)
    os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    main()
