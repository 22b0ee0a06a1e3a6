"""Pictures that come in with a call of another API: made clean, and stored before the job that names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from falcon import Request

from http_api.server import blocking
from http_api.server.client_address import sender
from outputs import inputs
from outputs.decoding import clean_png
from service.uploads import Uploads


class PictureInputs:
    """What the doors share whose clients send pictures along."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    def clean(self, raw: bytes, field: str, change: Callable[[bytes], bytes] = lambda png: png) -> bytes:
        """A PNG of ours of what was sent as `field`, after a `change`; raises InvalidRequest."""
        return blocking.run(lambda: change(clean_png(raw, field)), blocking.PICTURES)

    def store(self, req: Request, pictures: Mapping[str, bytes]) -> None:
        """Store clean PNGs durably; raises RateLimited, StorageUnavailable, OSError."""
        client = sender(req)
        for png in pictures.values():
            blocking.run(
                lambda png=png: self._uploads.store(png, client.key, is_own_machine=client.is_own_machine)  # type: ignore[misc]
            )


def names_of(pictures: Mapping[str, bytes]) -> dict[str, str]:
    """What a request of ours calls clean PNGs, by its fields; so it can be checked before anything is stored."""
    return {field: inputs.describe(png).id for field, png in pictures.items()}
