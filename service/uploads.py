"""Taking a picture in by itself, before a job names it."""

from __future__ import annotations

from outputs import inputs
from outputs.decoding import clean_png
from outputs.inputs import InputStore, StoredInput
from service.rate_limit import RateLimiter
from service.services import Services


class Uploads:
    """Stores pictures that are sent; any number of processes and threads may do so at once."""

    def __init__(self, services: Services) -> None:
        self._store: InputStore = services.inputs
        self._limiter: RateLimiter = services.input_limiter
        self._spool = services.spool

    def clean(self, raw: bytes) -> bytes:
        """A PNG of ours of what was sent; raises InvalidRequest. Takes up to seconds of a processor."""
        return clean_png(raw, "image")

    def store(self, png: bytes, client: str, *, is_own_machine: bool) -> StoredInput:
        """Store it durably; one that is here already costs the client nothing.

        Raises RateLimited, StorageUnavailable, OSError.
        """
        found = inputs.describe(png)
        if self._store.has(found.id):
            return self._store.put(png)
        self._spool.capacity.check_space()
        receipt = self._limiter.charge(client, is_own_machine=is_own_machine)
        try:
            return self._store.put(png)
        except BaseException:
            self._limiter.refund(receipt)
            raise
