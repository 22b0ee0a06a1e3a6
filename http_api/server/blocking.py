"""Work that blocks, kept off the event loop.

Under gunicorn's gevent worker a sync to disk would stop every other request of the process. In
gevent's pool of real threads it does not, and the syncs of concurrent requests overlap. Elsewhere
(tests, a threaded server) the work is simply done.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

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

    return gevent.get_hub().threadpool.apply(work)  # type: ignore[no-any-return]


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError if the block waits longer than this; without gevent the server's own limits hold."""
    if not under_gevent():
        yield
        return
    import gevent

    with gevent.Timeout(seconds, TimeoutError(f"not done within {seconds:g} s")):
        yield
