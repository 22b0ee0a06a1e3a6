"""`GET /api/me`: what the key that was shown may do, so that no page offers what would be refused."""

from __future__ import annotations

from collections.abc import Sequence

from falcon import Request, Response

from http_api.access import SCOPES, Scope
from http_api.api.queue_answers import MeAnswer


class MeResource:
    """Who asks."""

    def on_get(self, req: Request, resp: Response) -> None:
        """The key's name and scopes; everything where no keys are needed."""
        resp.set_header("Cache-Control", "no-store")
        scopes: Sequence[Scope] = req.context.get("scopes") or SCOPES
        resp.media = MeAnswer(key=req.context.get("key"), scopes=list(scopes))

    on_head = on_get
