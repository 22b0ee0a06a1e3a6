"""Pages of other web sites: those that the operator names may use the API from a browser (CORS), the others may not.

No cookie says who somebody is here, so an API key is all that such a page needs beside its name, and credentials of the
browser stay refused. The rules: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from typing import Any, Final

from falcon import Request, Response

#: Headers of answers that a page may read beside the few that any may.
_READABLE: Final = "Content-Disposition, ETag, Location, Retry-After, X-Request-Id, X-Should-Retry"
#: Seconds for which a browser need not ask again.
_REMEMBERED: Final = "600"


class CrossOrigin:
    """Tells browsers what pages of the origins `allowed` may do, which is all that their API key allows."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = frozenset(allowed)

    def process_response(self, req: Request, resp: Response, resource: Any, req_succeeded: bool) -> None:
        """After the responder; also of errors, whose sentences the page may read."""
        if not self._allowed:
            return
        resp.append_header("Vary", "Origin")
        if not is_allowed(req, self._allowed):
            return
        resp.set_header("Access-Control-Allow-Origin", req.get_header("Origin") or "")
        resp.set_header("Cross-Origin-Resource-Policy", "cross-origin")
        resp.set_header("Access-Control-Expose-Headers", _READABLE)
        if req.method == "OPTIONS" and req.get_header("Access-Control-Request-Method"):
            resp.set_header("Access-Control-Allow-Methods", resp.get_header("Allow") or "")
            # Libraries send headers of their own, and none of them means anything but what it means without a browser.
            resp.set_header("Access-Control-Allow-Headers", req.get_header("Access-Control-Request-Headers") or "")
            resp.set_header("Access-Control-Max-Age", _REMEMBERED)


def is_allowed(req: Request, allowed: frozenset[str]) -> bool:
    """Whether a request comes from a page of one of these origins."""
    return (req.get_header("Origin") or "").lower() in allowed
