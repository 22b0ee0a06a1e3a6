"""Room for connections, so that no kind of slow or patient client can use up what all others need.

Most requests are over in milliseconds. Four kinds may last: those that wait for news, event streams, answers
that their client reads slowly, and bodies that their client sends slowly. Each kind may hold a fifth of a
worker's connections, and one client half of that. So there is always room for the quick ones.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

#: Connections of one worker, where the limit of open files allows for them.
_MOST_CONNECTIONS: Final = 5000
#: Open files that a worker needs for everything but its clients.
_OWN_FILES: Final = 128
#: A connection that downloads has its file open as well, and a fifth of them may do so.
_FILES_PER_CONNECTION: Final = 1.2


def raise_file_limit() -> None:
    """Use as many open files as the system allows: the usual limit is for programs with few connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OWN_FILES + int(_MOST_CONNECTIONS * _FILES_PER_CONNECTION)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def connections() -> int:
    """How many connections one worker serves at once."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(10, min(_MOST_CONNECTIONS, int((soft - _OWN_FILES) / _FILES_PER_CONNECTION)))


def _share() -> int:
    return connections() // 5


class Place:
    """One taken place, until it is given back: by `free`, by leaving the context, or when nobody knows it any more."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def free(self) -> None:
        """Give it back; again is fine."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.free()

    def __del__(self) -> None:
        # The server never begins, and so never closes, an answer whose head it could not send.
        self.free()


class Places:
    """The places of one kind in this process. For greenlets: nothing here switches to another one."""

    def __init__(self, size: Callable[[], int] = _share) -> None:
        self._size = size
        self._by_client: Counter[str] = Counter()
        #: How many places are taken.
        self.taken = 0

    def take(self, client: str) -> Place | None:
        """A place for this client; None if there is none, or if the client has half of all already."""
        size = self._size()
        if self.taken >= size or self._by_client[client] >= max(1, size // 2):
            return None
        self.taken += 1
        self._by_client[client] += 1
        return Place(lambda: self._give_back(client))

    def _give_back(self, client: str) -> None:
        self.taken -= 1
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]


#: Requests that wait for news of a job (`/status?wait=`), or for its pictures.
WAITING: Final = Places()
#: Event streams.
STREAMS: Final = Places()
#: Answers with the bytes of a file, until the client has taken them.
DOWNLOADS: Final = Places()
#: Bodies on their way.
BODIES: Final = Places()
#: Those of them that are large, each of which is kept in memory until it is whole.
LARGE_BODIES: Final = Places(lambda: 8)
