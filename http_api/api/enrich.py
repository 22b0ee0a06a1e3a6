"""`POST /api/enrich`: a fuller prompt from a short one."""

from __future__ import annotations

from typing import Annotated, Final

from falcon import Request, Response
from msgspec import Meta, Struct

from core.errors import InvalidRequest
from core.explain import EXPECTED
from enrich.enricher import DEFAULT_STYLE, STYLES, Enricher, Enrichment
from http_api.api.answers import EnrichAnswer
from http_api.server import blocking
from http_api.server.client_address import sender
from http_api.server.request_body import read_struct
from service.rate_limit import RateLimiter

_ONE_OF: Final = f"one of {', '.join(STYLES)}"


class EnrichRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /enrich`."""

    prompt: Annotated[str, Meta(min_length=1, description="The prompt to enhance")]
    style: Annotated[str, Meta(description=_ONE_OF.capitalize(), extra={EXPECTED: _ONE_OF})] = DEFAULT_STYLE


class EnrichResource:
    """Enriches prompts, with the built-in enricher or a language model server."""

    def __init__(self, enricher: Enricher, limiter: RateLimiter, prompt_limit: int) -> None:
        self._enricher = enricher
        self._limiter = limiter
        self._prompt_limit = prompt_limit

    def on_post(self, req: Request, resp: Response) -> None:
        """Answer the enriched prompt and who wrote it."""
        request = self._request(req)
        found = self._charged(req, request)
        resp.media = EnrichAnswer(
            original_prompt=found.original_prompt,
            enriched_prompt=found.enriched_prompt,
            style=found.style,
            source=found.source,
            warnings=[found.warning] if found.warning else [],
        )

    def _charged(self, req: Request, request: EnrichRequest) -> Enrichment:
        """A prompt that is sent on counts, also where the server does not answer: it may have cost money."""
        client = sender(req)
        receipt = blocking.run(lambda: self._limiter.charge(client.key, is_own_machine=client.is_own_machine))
        try:
            return self._enricher.enrich(request.prompt, request.style)
        except BaseException:
            blocking.run(lambda: self._limiter.refund(receipt))
            raise

    def _request(self, req: Request) -> EnrichRequest:
        request = read_struct(req, EnrichRequest)
        if len(request.prompt) > self._prompt_limit:
            raise InvalidRequest(
                f"prompt has {len(request.prompt)} characters; at most {self._prompt_limit} are allowed.", "prompt"
            )
        return request
