"""Work that blocks, kept off the event loop.

Under gunicorn's gevent worker a sync to disk would stop every other request of the process. In pools of
real threads it does not, and the syncs of concurrent requests overlap. Each kind of work has a pool of its
own, so that no number of searches can hold up a job that is being stored. Elsewhere (tests, a threaded
server) the work is simply done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from core.errors import CyberImageError

if TYPE_CHECKING:
    from gevent.lock import BoundedSemaphore
    from gevent.threadpool import ThreadPool

Value = TypeVar("Value")


class TooBusy(CyberImageError):
    """Too much work of this kind is waiting already; nothing was done."""

    def __init__(self, waited: float) -> None:
        super().__init__(f"Too many requests of this kind are waiting; this one was given up after {waited:g} seconds.")


def under_gevent() -> bool:
    """Whether this process runs on a gevent loop."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


class Pool:
    """At most `threads` pieces of work at once, in each process; the others wait for their turn, in order.

    Work that would wait for more than `longest_wait` seconds is given up. `niceness` is how far the threads
    stand back behind the rest of the process where there are too few processors for both.
    """

    def __init__(self, threads: int, *, longest_wait: float | None = None, niceness: int = 0) -> None:
        self._threads = threads
        self._longest_wait = longest_wait
        self._niceness = niceness
        self._made: tuple[int, BoundedSemaphore, ThreadPool] | None = None

    def run(self, work: Callable[[], Value]) -> Value:
        """The value of `work()`, computed off the event loop; its errors are raised here, and TooBusy."""
        if not under_gevent():
            return work()
        turns, pool = self._ours()
        if not turns.acquire(timeout=self._longest_wait):
            raise TooBusy(self._longest_wait or 0)
        try:
            outcome: _Outcome[Value] = pool.apply(self._outcome, (work,))
        finally:
            turns.release()
        if outcome.error is not None:
            try:
                raise outcome.error
            finally:
                del outcome  # or the error, its traceback and this frame would hold each other
        return cast(Value, outcome.value)

    def _ours(self) -> tuple[BoundedSemaphore, ThreadPool]:
        """Made on first use: threads do not live on over a fork."""
        from gevent.lock import BoundedSemaphore
        from gevent.threadpool import ThreadPool

        if self._made is None or self._made[0] != os.getpid():
            self._made = os.getpid(), BoundedSemaphore(self._threads), ThreadPool(self._threads)
        return self._made[1:]

    def _outcome(self, work: Callable[[], Value]) -> _Outcome[Value]:
        """Errors are carried back as values: gevent prints a traceback for each one that leaves its threads."""
        try:
            if self._niceness:
                # On Linux 0 is the calling thread alone.
                os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, os.getpid()) + self._niceness)
            return _Outcome(value=work())
        except Exception as error:  # noqa: BLE001 - raised again by `run`, which knows who asked
            return _Outcome(error=error)


@dataclass
class _Outcome(Generic[Value]):
    """What came of some work: a value, or an error."""

    value: Value | None = None
    error: Exception | None = None


#: Durable writes: they wait for the disk, not for a processor, and their syncs overlap.
WRITES: Final = Pool(10)
#: Listings and counts: milliseconds of SQLite and of reading files.
READS: Final = Pool(2, longest_wait=10.0, niceness=5)
#: What may take a processor for long: searches in all texts. A second at once would not end sooner.
SEARCHES: Final = Pool(1, longest_wait=10.0, niceness=5)
#: Decoding pictures that come in: up to seconds of a processor and some 300 MB, so one at a time.
PICTURES: Final = Pool(1, longest_wait=20.0, niceness=5)
#: Probes of the disk, for whoever watches over this process: one, so that a disk that hangs costs one thread.
CHECKS: Final = Pool(1, longest_wait=3.0)
#: The images of archives, which are read one after the other, each as its turn comes.
ARCHIVES: Final = Pool(1, niceness=5)
#: The repair of indexes, which may take as long as it likes.
MAINTENANCE: Final = Pool(1, niceness=5)


def run(work: Callable[[], Value], pool: Pool = WRITES) -> Value:
    """The value of `work()`, computed off the event loop in a `pool`; its errors are raised here, and TooBusy."""
    return pool.run(work)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError if the block waits longer than this; without gevent the server's own limits hold."""
    if not under_gevent():
        yield
        return
    import gevent

    with gevent.Timeout(seconds, TimeoutError(f"not done within {seconds:g} s")):
        yield
