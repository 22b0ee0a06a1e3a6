"""Work that blocks, kept off the event loop.

Under gunicorn's gevent worker a sync to disk would stop every other request of the process. In
gevent's pool of real threads it does not, and the syncs of concurrent requests overlap. Elsewhere
(tests, a threaded server) the work is simply done.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

Value = TypeVar("Value")


def under_gevent() -> bool:
    """Whether this process runs on a gevent loop."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


def run(work: Callable[[], Value]) -> Value:
    """The value of `work()`, computed off the event loop; its errors are raised here."""
    if not under_gevent():
        return work()
    import gevent

    outcome: _Outcome[Value] = gevent.get_hub().threadpool.apply(_outcome, (work,))
    if outcome.error is not None:
        try:
            raise outcome.error
        finally:
            del outcome  # or the error, its traceback and this frame would hold each other
    return cast(Value, outcome.value)


@dataclass
class _Outcome(Generic[Value]):
    """What came of some work: a value, or an error."""

    value: Value | None = None
    error: Exception | None = None


def _outcome(work: Callable[[], Value]) -> _Outcome[Value]:
    """Errors are carried back as values: gevent prints a traceback for each one that leaves its threads."""
    try:
        return _Outcome(value=work())
    except Exception as error:  # noqa: BLE001 - raised again by `run`, which knows who asked
        return _Outcome(error=error)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError if the block waits longer than this; without gevent the server's own limits hold."""
    if not under_gevent():
        yield
        return
    import gevent

    with gevent.Timeout(seconds, TimeoutError(f"not done within {seconds:g} s")):
        yield
